"""Pure formats: headers, frames, cache directives, strict JSON."""
