"""What is in no dialect and is GET or HEAD: cached as HTTP has it (RFC 9111), where switched on."""
