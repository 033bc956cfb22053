"""Archives that cannot be read as they are."""


def encrypt_last_entry(path):
    """Set the encryption bit of a zip's last entry, in its local header and in the directory."""
    data = bytearray(path.read_bytes())
    for signature, place in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        data[data.rindex(signature) + place] |= 1
    path.write_bytes(data)
