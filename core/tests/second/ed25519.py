"""ed25519 (RFC 8032), checked strictly. For test vectors: it is slow, and its time tells the secret."""

from hashlib import sha512

P = 2**255 - 19
L = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, -1, P) % P


def add(p, q):
    a, b = (p[1] - p[0]) * (q[1] - q[0]) % P, (p[1] + p[0]) * (q[1] + q[0]) % P
    c, d = 2 * p[3] * q[3] * D % P, 2 * p[2] * q[2] % P
    e, f, g, h = b - a, d - c, d + c, b + a
    return (e * f % P, g * h % P, f * g % P, e * h % P)


def times(k, p):
    out = (0, 1, 1, 0)
    while k:
        if k & 1:
            out = add(out, p)
        p, k = add(p, p), k >> 1
    return out


def equal(p, q):
    return (p[0] * q[2] - q[0] * p[2]) % P == 0 and (p[1] * q[2] - q[1] * p[2]) % P == 0


def pack(p):
    z = pow(p[2], -1, P)
    return (p[1] * z % P | (p[0] * z % P & 1) << 255).to_bytes(32, "little")


def unpack(raw):
    """The point of this encoding, or None: every point has one encoding."""
    y = int.from_bytes(raw, "little")
    sign, y = y >> 255, y & (1 << 255) - 1
    if y >= P:
        return None
    x2 = (y * y - 1) * pow(D * y * y + 1, -1, P) % P
    x = pow(x2, (P + 3) // 8, P)
    if (x * x - x2) % P:
        x = x * pow(2, (P - 1) // 4, P) % P
    if (x * x - x2) % P or (x == 0 and sign):
        return None
    x = P - x if x & 1 != sign else x
    return (x, y, 1, x * y % P)


BASE = unpack((4 * pow(5, -1, P) % P).to_bytes(32, "little"))


def hashed(*parts):
    return int.from_bytes(sha512(b"".join(parts)).digest(), "little")


def sign(secret, message):
    """The public key of this secret (32 bytes), and its signature of the message."""
    digest = sha512(secret).digest()
    a = int.from_bytes(digest[:32], "little") & (1 << 254) - 8 | 1 << 254
    public = pack(times(a, BASE))
    r = hashed(digest[32:], message) % L
    commitment = pack(times(r, BASE))
    s = (r + hashed(commitment, public, message) * a) % L
    return public, commitment + s.to_bytes(32, "little")


def verify(public, signature, message):
    key, commitment = unpack(public), unpack(signature[:32])
    s = int.from_bytes(signature[32:], "little")
    if key is None or commitment is None or s >= L:
        return False
    if any(equal(times(8, p), (0, 1, 1, 0)) for p in (key, commitment)):
        return False  # of small order
    k = hashed(signature[:32], public, message) % L
    return equal(times(s, BASE), add(commitment, times(k, key)))
