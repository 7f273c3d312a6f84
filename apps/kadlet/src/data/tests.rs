use super::*;
use crate::error::DataError;

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("a temporary folder")
}

fn keep(data: &Data, key: &[u8], bytes: &[u8]) {
    let transaction = data.db.as_ref().expect("open").begin_write().expect("a transaction");
    transaction
        .open_table(RECORDS)
        .expect("a table")
        .insert(key, date(bytes).as_slice())
        .expect("room");
    transaction.commit().expect("a commit");
}

#[test]
fn what_was_kept_comes_back() {
    let dir = folder();
    let id = Id::new([7; 20]);
    {
        let (mut data, kept) = Data::open(dir.path(), "kadlet").expect("a new folder");
        assert!(kept.id.is_none() && kept.records.is_empty() && kept.damage.is_empty());
        data.keep_id(id).expect("room");
        keep(&data, b"key", b"record");
    }
    let (_data, kept) = Data::open(dir.path(), "kadlet").expect("the same folder");
    assert_eq!(kept.id, Some(id));
    let [(key, bytes, age)] = kept.records.as_slice() else { panic!("{:?}", kept.records) };
    assert_eq!((key.as_slice(), bytes.as_slice()), (b"key".as_slice(), b"record".as_slice()));
    assert!(*age < Duration::from_secs(3600));
}

/// What was shared in an office is not announced to the world because somebody forgot an option.
#[test]
fn a_folder_of_another_network_is_named_and_left_alone() {
    let dir = folder();
    let id = Id::new([7; 20]);
    let (mut data, _) = Data::open(dir.path(), "office").expect("a new folder");
    data.keep_id(id).expect("room");
    drop(data);
    let error = Data::open(dir.path(), "kadlet").expect_err("another network");
    assert!(matches!(error, DataError::OtherNetwork { .. }), "{error}");
    assert!(error.to_string().contains("\"office\""), "{error}");
    let (_data, kept) = Data::open(dir.path(), "office").expect("its own");
    assert_eq!(kept.id, Some(id));
}

#[test]
fn a_folder_in_use_is_named_with_its_process() {
    let dir = folder();
    let opened = Data::open(dir.path(), "kadlet").expect("a new folder");
    let own = std::process::id();
    assert_eq!(in_use_by(dir.path()), Some(Some(own)));
    let second = Data::open(dir.path(), "kadlet").expect_err("in use");
    assert!(matches!(second, DataError::InUse { pid: Some(pid), .. } if pid == own), "{second}");
    drop(opened);
    assert_eq!(in_use_by(dir.path()), None);
    Data::open(dir.path(), "kadlet").expect("free again");
}

#[test]
fn a_folder_of_a_newer_version_is_named_and_left_alone() {
    let dir = folder();
    {
        let (data, _) = Data::open(dir.path(), "kadlet").expect("a new folder");
        let transaction = data.db.as_ref().expect("open").begin_write().expect("a transaction");
        transaction
            .open_table(META)
            .expect("a table")
            .insert("version", (VERSION + 1).to_le_bytes().as_slice())
            .expect("room");
        transaction.commit().expect("a commit");
    }
    for _ in 0..2 {
        let error = Data::open(dir.path(), "kadlet").expect_err("newer");
        assert!(
            matches!(error, DataError::Newer { found, known: VERSION, .. } if found == VERSION + 1),
            "{error}"
        );
    }
}

/// Damage of every kind, at many places: the folder opens, what is damaged is moved aside or what
/// comes back is what was kept, and nothing is lost silently.
#[test]
fn damage_is_named_and_moved_aside() {
    let dir = folder();
    {
        let (mut data, _) = Data::open(dir.path(), "kadlet").expect("a new folder");
        data.keep_id(Id::new([7; 20])).expect("room");
        for i in 0..200_u8 {
            keep(&data, &[i; 30], &[i; 500]);
        }
    }
    let file = dir.path().join("kadlet.redb");
    let whole = fs::read(&file).expect("the store");
    type Damage = fn(&mut Vec<u8>);
    let damages: [(&str, Damage); 5] = [
        ("emptied of sense", |bytes| bytes.fill(0x55)),
        ("cut in half", |bytes| bytes.truncate(bytes.len() / 2)),
        ("without its beginning", |bytes| drop(bytes.drain(..512))),
        ("with another magic number", |bytes| bytes.iter_mut().take(9).for_each(|b| *b ^= 0xff)),
        ("with zeros in the middle", |bytes| {
            let (from, to) = (4096, bytes.len());
            bytes.get_mut(from..to).into_iter().for_each(|part| part.fill(0));
        }),
    ];
    for (i, (what, damage)) in damages.into_iter().enumerate() {
        let mut bytes = whole.clone();
        damage(&mut bytes);
        fs::write(&file, &bytes).expect("room");
        let (_data, kept) = Data::open(dir.path(), "kadlet").expect(what);
        let [named] = kept.damage.as_slice() else { panic!("{what}: {:?}", kept.damage) };
        let aside = dir.path().join(format!("kadlet.redb.damaged-{}", i + 1));
        assert!(named.contains(&aside.display().to_string()), "{what}: {named}");
        assert_eq!(fs::read(&aside).expect(what).len(), bytes.len(), "{what}");
    }
}

#[test]
fn a_folder_that_cannot_be_made_is_named() {
    let dir = folder();
    let file = dir.path().join("a file");
    fs::write(&file, "").expect("room");
    let error = Data::open(&file.join("below"), "kadlet").expect_err("no folder below a file");
    assert!(error.to_string().contains("a file"), "{error}");
}

/// As a node exports it (core/tests/golden, `restored`).
const RECORD: &str = "01ab337c434a3d941a72f45c36f6817f64f789d2e300000000000000000000ffff16020101a01f\
                      0000046b657074a84980e9adeaec30";

#[tokio::test]
async fn a_record_that_expired_while_nobody_was_there_goes_without_a_word() {
    let dir = folder();
    let digits = RECORD.as_bytes().chunks(2).map(|two| core::str::from_utf8(two).expect("digits"));
    let record: Vec<u8> =
        digits.map(|two| u8::from_str_radix(two, 16).expect("hexadecimal")).collect();
    {
        let (data, _) = Data::open(dir.path(), "kadlet").expect("a new folder");
        // Of the first second of 1970.
        let old = [&[0; 8], record.as_slice()].concat();
        let transaction = data.db.as_ref().expect("open").begin_write().expect("a transaction");
        transaction
            .open_table(RECORDS)
            .expect("a table")
            .insert(b"old".as_slice(), old.as_slice())
            .expect("room");
        transaction.commit().expect("a commit");
        keep(&data, b"damaged", b"no record");
        keep(&data, b"young", &record);
    }
    let here = (core::net::Ipv4Addr::LOCALHOST, 0).into();
    for _ in 0..2 {
        let builder = crate::Dht::builder().listen(here).data(dir.path());
        let dht = builder.start().await.expect("it starts");
        let [damage] = dht.damage() else { panic!("{:?}", dht.damage()) };
        assert!(damage.starts_with("1 of "), "{damage}");
        dht.shutdown().await;
        let (_data, kept) = Data::open(dir.path(), "kadlet").expect("the same folder");
        let keys: Vec<_> = kept.records.iter().map(|(key, ..)| key.as_slice()).collect();
        assert_eq!(keys, [b"damaged".as_slice(), b"young"]);
    }
}
