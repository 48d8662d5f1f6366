"""ML-KEM-768 written from FIPS 203, slow and plain: the oracle for `crypto/kem.py` and the source of fixed ciphertexts.

The libraries draw the randomness of an encapsulation themselves; a vector needs it fixed (`m`). So this stands beside
them: tests hold it against published cases, the providers against it, and `make_vectors.py` encapsulates with it. It is
not constant-time and never protects anything.

Names and numbers of algorithms are those of FIPS 203.
"""

import hashlib

Q, N, K, ETA, DU, DV = 3329, 256, 3, 2, 10, 4
Poly = list[int]


def _brv7(index: int) -> int:
    return int(f"{index:07b}"[::-1], 2)


_ZETAS = [pow(17, _brv7(index), Q) for index in range(128)]
_GAMMAS = [pow(17, 2 * _brv7(index) + 1, Q) for index in range(128)]


def _bits(data: bytes) -> list[int]:
    return [byte >> bit & 1 for byte in data for bit in range(8)]


def _encode(d: int, poly: Poly) -> bytes:
    """Algorithm 5."""
    value = sum(coefficient << d * index for index, coefficient in enumerate(poly))
    return value.to_bytes(32 * d, "little")


def _decode(d: int, data: bytes) -> Poly:
    """Algorithm 6."""
    value, modulus = int.from_bytes(data, "little"), Q if d == 12 else 1 << d
    return [(value >> d * index & (1 << d) - 1) % modulus for index in range(N)]


def _compress(d: int, poly: Poly) -> Poly:
    return [((x << d) + Q // 2) // Q % (1 << d) for x in poly]


def _decompress(d: int, poly: Poly) -> Poly:
    return [(y * Q + (1 << d - 1)) >> d for y in poly]


def _sample_ntt(seed: bytes) -> Poly:
    """Algorithm 7; 2048 bytes of SHAKE128 are enough but with a chance of 2^-1000."""
    stream = hashlib.shake_128(seed).digest(2048)
    out: Poly = []
    for at in range(0, len(stream), 3):
        a, b, c = stream[at : at + 3] if at + 3 <= len(stream) else (0xFF, 0xFF, 0xFF)
        out += [d for d in (a + 256 * (b % 16), b // 16 + 16 * c) if d < Q]
        if len(out) >= N:
            return out[:N]
    raise ValueError("not enough of SHAKE128")


def _sample_cbd(data: bytes) -> Poly:
    """Algorithm 8 with eta = 2."""
    bits = _bits(data)
    return [
        (sum(bits[4 * i : 4 * i + ETA]) - sum(bits[4 * i + ETA : 4 * i + 2 * ETA])) % Q for i in range(N)
    ]  # fmt: skip


def _prf(seed: bytes, counter: int) -> bytes:
    return hashlib.shake_256(seed + bytes((counter,))).digest(64 * ETA)


def _ntt(poly: Poly) -> Poly:
    """Algorithm 9."""
    f, index, length = [*poly], 1, 128
    while length >= 2:
        for start in range(0, N, 2 * length):
            zeta = _ZETAS[index]
            index += 1
            for j in range(start, start + length):
                t = zeta * f[j + length]
                f[j + length], f[j] = (f[j] - t) % Q, (f[j] + t) % Q
        length //= 2
    return f


def _inverse_ntt(poly: Poly) -> Poly:
    """Algorithm 10."""
    f, index, length = [*poly], 127, 2
    while length <= 128:
        for start in range(0, N, 2 * length):
            zeta = _ZETAS[index]
            index -= 1
            for j in range(start, start + length):
                t = f[j]
                f[j], f[j + length] = (t + f[j + length]) % Q, zeta * (f[j + length] - t) % Q
        length *= 2
    return [3303 * x % Q for x in f]


def _multiply(f: Poly, g: Poly) -> Poly:
    """Algorithm 11."""
    out: Poly = []
    for i in range(128):
        a0, a1, b0, b1 = f[2 * i], f[2 * i + 1], g[2 * i], g[2 * i + 1]
        out += [(a0 * b0 + a1 * b1 * _GAMMAS[i]) % Q, (a0 * b1 + a1 * b0) % Q]
    return out


def _add(*polys: Poly) -> Poly:
    return [sum(column) % Q for column in zip(*polys, strict=True)]


def _dot(row: list[Poly], column: list[Poly]) -> Poly:
    return _add(*(_multiply(a, b) for a, b in zip(row, column, strict=True)))


def _matrix(rho: bytes) -> list[list[Poly]]:
    return [[_sample_ntt(rho + bytes((j, i))) for j in range(K)] for i in range(K)]


def _g(data: bytes) -> tuple[bytes, bytes]:
    digest = hashlib.sha3_512(data).digest()
    return digest[:32], digest[32:]


def keygen(d: bytes, z: bytes) -> tuple[bytes, bytes]:
    """Algorithm 16: (encapsulation key, expanded decapsulation key of 2400 bytes) of the two seeds."""
    rho, sigma = _g(d + bytes((K,)))
    a = _matrix(rho)
    s = [_ntt(_sample_cbd(_prf(sigma, i))) for i in range(K)]
    e = [_ntt(_sample_cbd(_prf(sigma, K + i))) for i in range(K)]
    t = [_add(_dot(a[i], s), e[i]) for i in range(K)]
    ek = b"".join(_encode(12, poly) for poly in t) + rho
    dk = b"".join(_encode(12, poly) for poly in s)
    return ek, dk + ek + hashlib.sha3_256(ek).digest() + z


def _encrypt(ek: bytes, message: bytes, randomness: bytes) -> bytes:
    """Algorithm 14."""
    t = [_decode(12, ek[384 * i : 384 * (i + 1)]) for i in range(K)]
    a = _matrix(ek[384 * K :])
    y = [_ntt(_sample_cbd(_prf(randomness, i))) for i in range(K)]
    e1 = [_sample_cbd(_prf(randomness, K + i)) for i in range(K)]
    e2 = _sample_cbd(_prf(randomness, 2 * K))
    u = [_add(_inverse_ntt(_dot([a[j][i] for j in range(K)], y)), e1[i]) for i in range(K)]
    mu = _decompress(1, _decode(1, message))
    v = _add(_inverse_ntt(_dot(t, y)), e2, mu)
    return b"".join(_encode(DU, _compress(DU, poly)) for poly in u) + _encode(DV, _compress(DV, v))


def encapsulate(ek: bytes, m: bytes) -> tuple[bytes, bytes]:
    """Algorithm 17: (ciphertext, secret) with the randomness `m` (32 bytes)."""
    secret, randomness = _g(m + hashlib.sha3_256(ek).digest())
    return _encrypt(ek, m, randomness), secret


def decapsulate(dk: bytes, ciphertext: bytes) -> bytes:
    """Algorithm 18 with an expanded key; a foreign ciphertext gives the implicit rejection's secret."""
    s = [_decode(12, dk[384 * i : 384 * (i + 1)]) for i in range(K)]
    ek, digest, z = dk[384 * K : 768 * K + 32], dk[768 * K + 32 : 768 * K + 64], dk[768 * K + 64 :]
    u = [_ntt(_decompress(DU, _decode(DU, ciphertext[320 * i : 320 * (i + 1)]))) for i in range(K)]
    v = _decompress(DV, _decode(DV, ciphertext[320 * K :]))
    inner = _inverse_ntt(_dot(s, u))
    message = _encode(1, _compress(1, [(a - b) % Q for a, b in zip(v, inner, strict=True)]))
    secret, randomness = _g(message + digest)
    if _encrypt(ek, message, randomness) != ciphertext:
        return hashlib.shake_256(z + ciphertext).digest(32)
    return secret
