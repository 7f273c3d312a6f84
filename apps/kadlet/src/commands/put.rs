//! `kadlet put`: store a value, immutable or signed.

use std::fs;
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

use clap::Args;
use kadlet::core::PutOptions;
use kadlet::core::record::{Form, InvalidRecord, Item, MAX_SALT, SignedValue, Value};
use kadlet::core::wire::bencode;
use kadlet::{Dht, Error, Stored};
use serde_json::json;

use crate::cli::Common;
use crate::codes::Code;
use crate::failure::Failure;
use crate::output::{Output, hex};
use crate::session;

/// Bytes read of a value at most: enough to say by how much it is too long.
const READ_AT_MOST: u64 = 1 << 20;

/// Store a value with the nodes closest to its key
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  kadlet put 'hello' --bootstrap 192.168.1.5:4000\n  \
                        kadlet put @notes.txt --key me.key --new-key --salt notes\n\n\
                        Prints the key to type after: kadlet value. On Mainline the value becomes \
                        a string in bencode, unless --bencode says that it is bencode already.")]
pub(crate) struct Options {
    /// The value itself, - for standard input, or @FILE
    #[arg(allow_hyphen_values = true)]
    value: String,
    /// Sign with the secret in this file, so that only you can replace the value
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
    /// Make the file with a new secret first
    #[arg(long, requires = "key")]
    new_key: bool,
    /// Tells apart the values of one signer
    #[arg(long, requires = "key", default_value = "", hide_default_value = true)]
    salt: String,
    /// The value's sequence number [default: one more than the stored one]
    #[arg(long, requires = "key")]
    seq: Option<u64>,
    /// Store only over the value with this sequence number
    #[arg(long, requires = "key", value_name = "SEQ")]
    cas: Option<u64>,
    /// The value is bencode already, of any type (Mainline)
    #[arg(long)]
    bencode: bool,
    #[command(flatten)]
    common: Common,
}

pub(crate) async fn run(options: Options, output: Output) -> Result<(), Failure> {
    let form = if options.common.is_mainline() { Form::Bencode } else { Form::Native };
    if options.bencode {
        session::needs_mainline(&options.common, "values are bytes")?;
    }
    let value = written(form, options.bencode, read_value(&options.value)?)?;
    if options.salt.len() > MAX_SALT {
        return Err(too_long("the salt", options.salt.len(), MAX_SALT));
    }
    let secret = match &options.key {
        Some(file) if options.new_key => Some(make_secret(file)?),
        Some(file) => Some(read_secret(file)?),
        None => None,
    };
    let dht = session::client(&options.common, &[], output).await?;
    let (stored, signed) = match secret {
        None => (dht.put_item(Item::Immutable(value), PutOptions::default()).await?, None),
        Some(secret) => {
            let (stored, seq) = put_signed(&dht, &secret, &options, value.as_bytes()).await?;
            (stored, Some((SignedValue::public_key_of(&secret), seq)))
        }
    };
    let mut object = json!({
        "event": "stored",
        "key": stored.key.to_string(),
        "nodes": stored.nodes,
        "asked": stored.attempted,
    });
    if let (Some(fields), Some((public_key, seq))) = (object.as_object_mut(), signed) {
        fields.insert("public_key".to_owned(), hex(&public_key).into());
        fields.insert("seq".to_owned(), seq.into());
    }
    output.event(object, stored.key);
    output.note(format_args!("stored with {} of {} nodes", stored.nodes, stored.attempted));
    dht.stop().await;
    Ok(())
}

async fn put_signed(
    dht: &Dht,
    secret: &[u8; 32],
    options: &Options,
    value: &[u8],
) -> Result<(Stored, u64), Failure> {
    let salt = options.salt.as_bytes();
    let seq = match (options.seq, options.cas) {
        (Some(seq), _) => seq,
        (None, Some(cas)) => cas.saturating_add(1),
        (None, None) => match dht.get_signed(&SignedValue::public_key_of(secret), salt).await? {
            Some(Item::Signed(signed)) => signed.seq().saturating_add(1),
            _ => 1,
        },
    };
    let signed =
        SignedValue::sign_for(dht.form(), secret, salt, seq, value).map_err(Error::from)?;
    let mut put = PutOptions::default();
    put.cas = options.cas;
    Ok((dht.put_item(Item::Signed(signed), put).await?, seq))
}

/// The bytes that the argument means, checked before anything is started.
fn read_value(argument: &str) -> Result<Vec<u8>, Failure> {
    let mut value = Vec::new();
    if argument == "-" {
        io::stdin()
            .take(READ_AT_MOST)
            .read_to_end(&mut value)
            .map_err(|error| Failure::io("standard input", &error))?;
    } else if let Some(file) = argument.strip_prefix('@') {
        fs::File::open(file)
            .and_then(|file| file.take(READ_AT_MOST).read_to_end(&mut value))
            .map_err(|error| Failure::io(file, &error))?;
    } else {
        value = argument.as_bytes().to_vec();
    }
    Ok(value)
}

/// The bytes as a value of the network.
fn written(form: Form, is_bencode: bool, bytes: Vec<u8>) -> Result<Value, Failure> {
    let strings = form == Form::Bencode && !is_bencode;
    let bytes = if strings { bencode::string(&bytes) } else { bytes };
    let len = bytes.len();
    Value::of(form, bytes).map_err(|error| match error {
        InvalidRecord::TooLong { limit, .. } => too_long("the value", len, limit),
        error => Failure::new(Code::Usage, error),
    })
}

fn too_long(what: &str, len: usize, limit: usize) -> Failure {
    // No more than this was read.
    let more = if len as u64 == READ_AT_MOST { " or more" } else { "" };
    Failure::new(
        Code::ValueTooLong,
        format_args!(
            "{what} has {len} bytes{more}, at most {limit} fit; larger things are files: kadlet share"
        ),
    )
}

/// A secret is 64 hexadecimal digits, alone on a line.
fn read_secret(file: &Path) -> Result<[u8; 32], Failure> {
    let named = |problem: &dyn core::fmt::Display| {
        Failure::new(
            Code::KeyFile,
            format_args!(
                "{}: {problem}; expected 64 hexadecimal digits (--new-key makes such a file)",
                file.display()
            ),
        )
    };
    let text = fs::read_to_string(file).map_err(|error| named(&error))?;
    let digits: Option<Vec<u8>> =
        text.trim().chars().map(|c| c.to_digit(16).and_then(|d| u8::try_from(d).ok())).collect();
    let digits = digits.ok_or_else(|| named(&"there is something else in it"))?;
    let bytes: Vec<u8> =
        digits.chunks(2).map(|pair| pair.iter().fold(0, |byte, digit| byte << 4 | digit)).collect();
    if digits.len() != 64 {
        return Err(named(&format_args!("it has {} digits", digits.len())));
    }
    bytes.try_into().map_err(|_| named(&"its length is wrong"))
}

/// Makes the file; one that exists is somebody's secret and stays.
fn make_secret(file: &Path) -> Result<[u8; 32], Failure> {
    let mut secret = [0; 32];
    getrandom::fill(&mut secret).map_err(|error| Failure::new(Code::Io, error))?;
    let mut options = fs::File::options();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let named = |error: io::Error| {
        let why = match error.kind() {
            io::ErrorKind::AlreadyExists => {
                format!("{} is there: leave out --new-key to use it", file.display())
            }
            _ => format!("{}: {error}", file.display()),
        };
        Failure::new(Code::KeyFile, why)
    };
    let mut made = options.open(file).map_err(named)?;
    // On the disk before anything is signed with it: without the key a value is never replaced.
    let written = writeln!(made, "{}", hex(&secret)).and_then(|()| made.sync_all());
    written.map_err(|error| {
        // A file without its key would be in the way of the next try.
        let _ = fs::remove_file(file);
        named(error)
    })?;
    Ok(secret)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_survives_its_file_and_is_not_overwritten() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let file = dir.path().join("me.key");
        let secret = make_secret(&file).expect("a new file");
        assert_eq!(read_secret(&file).expect("just written"), secret);
        assert_eq!(make_secret(&file).expect_err("it exists").code, Code::KeyFile);
        assert_eq!(read_secret(&file).expect("unchanged"), secret);
    }

    #[test]
    fn what_is_wrong_with_a_secret_is_said() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let file = dir.path().join("me.key");
        for bad in ["", "abc", "not hex at all", &"0".repeat(63), &"0".repeat(66)] {
            fs::write(&file, bad).expect("room");
            let failure = read_secret(&file).expect_err(bad);
            assert!(failure.message.contains("expected 64 hexadecimal digits"), "{failure:?}");
        }
    }

    #[test]
    fn a_value_that_is_too_long_is_named_with_the_limit() {
        let of = |form, bencode, n| written(form, bencode, vec![b'x'; n]);
        assert_eq!(of(Form::Native, false, 896).expect("just fits").as_bytes().len(), 896);
        let failure = of(Form::Native, false, 897).expect_err("too long");
        assert_eq!(failure.code, Code::ValueTooLong);
        assert!(failure.message.contains("897") && failure.message.contains("896"));
        // Mainline counts the string's length with it.
        assert_eq!(of(Form::Bencode, false, 996).expect("just fits").as_bytes().len(), 1_000);
        let failure = of(Form::Bencode, false, 997).expect_err("too long");
        assert!(failure.message.contains("1001") && failure.message.contains("1000"));
        assert_eq!(of(Form::Bencode, true, 3).expect_err("no bencode").code, Code::Usage);
    }
}
