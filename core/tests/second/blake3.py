"""BLAKE3 in its key-derivation mode, from its paper: for inputs of any length, 32 bytes out. Slow and plain."""

IV = (0x6A09E667, 0xBB67AE85, 0x3C6EF372, 0xA54FF53A, 0x510E527F, 0x9B05688C, 0x1F83D9AB, 0x5BE0CD19)
ORDER = (2, 6, 3, 10, 7, 0, 4, 13, 1, 11, 12, 5, 9, 14, 15, 8)
START, END, PARENT, ROOT, CONTEXT, MATERIAL = 1, 2, 4, 8, 32, 64
MASK = 0xFFFFFFFF
QUARTERS = (
    (0, 4, 8, 12),
    (1, 5, 9, 13),
    (2, 6, 10, 14),
    (3, 7, 11, 15),
    (0, 5, 10, 15),
    (1, 6, 11, 12),
    (2, 7, 8, 13),
    (3, 4, 9, 14),
)


def rotate(word, by):
    return (word >> by | word << (32 - by)) & MASK


def compress(chain, block, counter, length, flags):
    words = [int.from_bytes(block[i : i + 4], "little") for i in range(0, 64, 4)]
    v = [*chain, *IV[:4], counter & MASK, counter >> 32, length, flags]
    for _ in range(7):
        for i, (a, b, c, d) in enumerate(QUARTERS):
            v[a] = (v[a] + v[b] + words[2 * i]) & MASK
            v[d] = rotate(v[d] ^ v[a], 16)
            v[c] = (v[c] + v[d]) & MASK
            v[b] = rotate(v[b] ^ v[c], 12)
            v[a] = (v[a] + v[b] + words[2 * i + 1]) & MASK
            v[d] = rotate(v[d] ^ v[a], 8)
            v[c] = (v[c] + v[d]) & MASK
            v[b] = rotate(v[b] ^ v[c], 7)
        words = [words[i] for i in ORDER]
    return tuple(v[i] ^ v[i + 8] for i in range(8))


def chunk(data, counter, key, flags):
    """The last compression of a chunk of at most 1024 bytes, not yet done: it may be the root's."""
    blocks = [data[i : i + 64] for i in range(0, len(data), 64)] or [b""]
    chain = key
    for i, block in enumerate(blocks):
        mark = flags | (START if i == 0 else 0) | (END if i == len(blocks) - 1 else 0)
        last = (chain, block.ljust(64, b"\0"), counter, len(block), mark)
        chain = compress(*last)
    return last


def tree(data, counter, key, flags):
    if len(data) <= 1024:
        return chunk(data, counter, key, flags)
    left = 1024
    while left * 2 < len(data):
        left *= 2
    halves = (tree(data[:left], counter, key, flags), tree(data[left:], counter + left // 1024, key, flags))
    block = b"".join(words_to_bytes(compress(*half)) for half in halves)
    return (key, block, 0, 64, flags | PARENT)


def words_to_bytes(words):
    return b"".join(word.to_bytes(4, "little") for word in words)


def run(data, key, flags):
    chain, block, counter, length, mark = tree(data, 0, key, flags)
    return words_to_bytes(compress(chain, block, counter, length, mark | ROOT))


def derive_key(context, material):
    raw = run(context.encode(), IV, CONTEXT)
    key = tuple(int.from_bytes(raw[i : i + 4], "little") for i in range(0, 32, 4))
    return run(material, key, MATERIAL)
