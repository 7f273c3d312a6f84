use super::*;
use alloc::vec;
use proptest::prelude::*;

const MIB: usize = PIECE_LEN as usize;

/// Bytes in which no two pieces are alike.
fn file(len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    blake3::Hasher::new().update(b"test file").finalize_xof().fill(&mut bytes);
    bytes
}

fn list_of(bytes: &[u8]) -> HashList {
    let mut builder = HashListBuilder::new();
    builder.update(bytes);
    builder.finish()
}

/// The id is the plain hash of the file, at every boundary of chunk, piece and tree.
#[test]
fn the_root_is_blake3_of_the_file() {
    let sizes = [
        0,
        1,
        63,
        64,
        1023,
        1024,
        1025,
        MIB - 1,
        MIB,
        MIB + 1,
        2 * MIB - 1,
        2 * MIB,
        2 * MIB + 1,
        3 * MIB + 5,
        4 * MIB,
        4 * MIB + 1,
        5 * MIB - 1024,
        7 * MIB,
        7 * MIB + 1023,
        9 * MIB,
    ];
    let longest = file(9 * MIB);
    for size in sizes {
        let bytes = &longest[..size];
        let list = list_of(bytes);
        assert_eq!(list.id(), ContentId::of(bytes), "{size}");
        assert_eq!(list.size(), size as u64);
        assert_eq!(list.pieces() as usize, size.div_ceil(MIB));
        let encoded = list.encode();
        assert_eq!(encoded.len() as u64, HashList::encoded_len(size as u64));
        assert_eq!(HashList::decode(&encoded, list.id(), u64::MAX), Ok(list.clone()));
        for (index, piece) in bytes.chunks(MIB).enumerate() {
            let index = index as u32;
            let range = list.range(index).expect("a piece");
            assert_eq!(&bytes[range.start as usize..range.end as usize], piece);
            assert!(list.verify_piece(index, piece), "{size} {index}");
            assert!(!list.verify_piece(index, &piece[1..]), "short");
            assert!(!list.verify_piece(index, &[piece, &[0]].concat()), "long");
            let mut changed = piece.to_vec();
            *changed.last_mut().expect("a byte") ^= 1;
            assert!(!list.verify_piece(index, &changed), "changed");
        }
        assert_eq!(list.range(list.pieces()), None);
        assert!(list.piece_verifier(list.pieces()).is_none());
    }
}

#[test]
fn a_piece_is_wrong_in_another_place() {
    let bytes = vec![7; 3 * MIB];
    let list = list_of(&bytes);
    let mut moved = list.encode();
    // All three pieces have equal bytes and still different hashes: the offset is hashed too.
    moved.copy_within(8..40, 40);
    assert_eq!(HashList::decode(&moved, list.id(), u64::MAX), Err(ListError::NotOfThisId));
}

#[test]
fn wrong_lists_say_what_is_wrong() {
    let list = list_of(&file(2 * MIB + 1));
    let (id, good) = (list.id(), list.encode());
    let decode = |bytes: &[u8]| HashList::decode(bytes, id, u64::MAX);
    for cut in 0..8 {
        assert_eq!(decode(&good[..cut]), Err(ListError::Truncated { found: cut }));
    }
    for cut in 8..good.len() {
        let error = ListError::Length { size: list.size(), expected: 104, found: cut as u64 };
        assert_eq!(decode(&good[..cut]), Err(error));
    }
    let long = [&good[..], &[0]].concat();
    assert!(matches!(decode(&long), Err(ListError::Length { found: 105, .. })));
    assert_eq!(
        HashList::decode(&good, id, list.size() - 1),
        Err(ListError::TooLarge { size: list.size(), limit: list.size() - 1 })
    );
    assert!(matches!(decode(&[0xff; 40]), Err(ListError::TooLarge { .. })));
    for at in (8..good.len()).step_by(7) {
        let mut changed = good.clone();
        changed[at] ^= 0x10;
        assert_eq!(decode(&changed), Err(ListError::NotOfThisId));
    }
    assert_eq!(decode(&[0; 8]), Err(ListError::NotOfThisId), "the empty file has its own id");
}

/// Why a fetch puts a list on trial: a list with two neighbours joined has
/// the right root and the wrong size, and no piece of the file fits where it was joined.
#[test]
fn a_joined_list_has_the_root_but_no_last_piece() {
    let bytes = file(4 * MIB);
    let list = list_of(&bytes);
    let joined = merge_subtrees_non_root(&list.hashes[2], &list.hashes[3], Mode::Hash);
    let size = 3 * PIECE_LEN;
    let mut forged = size.to_le_bytes().to_vec();
    for hash in [list.hashes[0], list.hashes[1], joined] {
        forged.extend_from_slice(&hash);
    }
    let forged = HashList::decode(&forged, list.id(), u64::MAX).expect("the root is right");
    assert!(forged.verify_piece(0, &bytes[..MIB]));
    assert!(!forged.verify_piece(2, &bytes[2 * MIB..3 * MIB]));
    // Nor does another size within the last piece.
    let mut shorter = list.encode();
    shorter[..8].copy_from_slice(&(4 * PIECE_LEN - 1).to_le_bytes());
    let shorter = HashList::decode(&shorter, list.id(), u64::MAX).expect("the root is right");
    assert!(!shorter.verify_piece(3, &bytes[3 * MIB..4 * MIB - 1]));
    assert!(shorter.verify_piece(2, &bytes[2 * MIB..3 * MIB]));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn parts_of_any_length_give_the_same_list(
        size in prop_oneof![0..5000_usize, MIB - 3..MIB + 3, 2 * MIB - 3..2 * MIB + 3, 0..4 * MIB],
        parts in prop::collection::vec(0..2 * MIB, 0..8),
    ) {
        let bytes = file(size);
        let (mut builder, mut rest) = (HashListBuilder::new(), &bytes[..]);
        for part in parts {
            let (now, later) = rest.split_at(part.min(rest.len()));
            builder.update(now);
            rest = later;
        }
        builder.update(rest);
        prop_assert_eq!(builder.size(), size as u64);
        let list = builder.finish();
        prop_assert_eq!(list.id(), ContentId::of(&bytes));
        prop_assert_eq!(list, list_of(&bytes));
    }

    #[test]
    fn a_piece_in_parts_is_the_piece(cut in 0..3000_usize, other in 0..3000_usize, wrong: bool) {
        let mut bytes = file(3000);
        let list = list_of(&bytes);
        if wrong {
            bytes[other] ^= 1;
        }
        let mut verifier = list.piece_verifier(0).expect("the only piece");
        verifier.update(&bytes[..cut]);
        prop_assert_eq!(verifier.remaining(), 3000 - cut as u64);
        prop_assert!(!verifier.finish());
        verifier.update(&bytes[cut..]);
        prop_assert_eq!(verifier.finish(), !wrong);
        verifier.update(&[0]);
        prop_assert!(!verifier.finish());
    }

    #[test]
    fn any_bytes_decode_or_err(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = HashList::decode(&bytes, ContentId::of(b"x"), u64::MAX);
    }
}
