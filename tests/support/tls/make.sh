#!/bin/sh
# Makes the certificates in this folder anew. They are for tests only and vouch for nothing.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
cd "$work"
mkdir issued
: >index.txt
echo 01 >serial
cat >ca.cnf <<'END'
[ca]
default_ca = here
[here]
dir = .
database = index.txt
serial = serial
new_certs_dir = issued
default_md = sha256
policy = any
[any]
commonName = supplied
[authority]
basicConstraints = critical,CA:TRUE
keyUsage = critical,keyCertSign,cRLSign
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid:always
[server]
basicConstraints = critical,CA:FALSE
keyUsage = critical,digitalSignature
extendedKeyUsage = serverAuth
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid:always
subjectAltName = DNS:backend.test,DNS:localhost,IP:127.0.0.1
[client]
basicConstraints = critical,CA:FALSE
keyUsage = critical,digitalSignature
extendedKeyUsage = clientAuth
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid:always
subjectAltName = DNS:sidecache.test
END
valid="-startdate 20200101000000Z -enddate 21200101000000Z -batch -notext -config ca.cnf"
for who in authority server client; do
    openssl ecparam -name prime256v1 -genkey -noout -out $who.key
    openssl req -new -key $who.key -subj "/CN=Sidecache test $who" -out $who.csr
done
openssl ca $valid -selfsign -keyfile authority.key -in authority.csr -extensions authority \
    -out authority.pem
for who in server client; do
    openssl ca $valid -keyfile authority.key -cert authority.pem -in $who.csr -extensions $who \
        -out $who.pem
done
cp authority.pem server.pem server.key client.pem client.key "$here"
rm -r "$work"
