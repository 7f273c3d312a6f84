//! `kadlet value`: read a value.

use clap::Args;
use kadlet::core::record::Item;
use kadlet::core::wire::{bencode, mainline::magnet};
use serde_json::json;

use crate::cli::{Common, KeyArgument};
use crate::codes::Code;
use crate::failure::Failure;
use crate::output::{Output, hex};
use crate::session;

/// Read the value under a key
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  kadlet value b35a3a4ce532bf9fea88312f8b549b2d106e0491 \
                        --bootstrap 192.168.1.5:4000\n  \
                        kadlet value 'magnet:?xs=urn:btpk:…' --network mainline\n\n\
                        The value goes to standard output as it is; with --json in hexadecimal. \
                        On Mainline values are bencode: of a string its bytes are printed, of \
                        anything else the bencode; --json has the bencode, and of a string or a \
                        mutable torrent (BEP 46) what is in it as well.")]
pub(crate) struct Options {
    /// The key that `kadlet put` has printed, 40 hexadecimal digits; on Mainline also a magnet link
    /// with a public key
    key: KeyArgument,
    /// The salt of a signed value, where the network does not repeat it
    #[arg(long, default_value = "", hide_default_value = true)]
    salt: String,
    #[command(flatten)]
    common: Common,
}

pub(crate) async fn run(options: Options, output: Output) -> Result<(), Failure> {
    let mainline = options.common.is_mainline();
    if matches!(options.key, KeyArgument::Torrent(_)) {
        session::needs_mainline(&options.common, "there are no magnet links")?;
    }
    let query = session::value_query(&options.key, options.salt.into_bytes())?;
    let key = query.key;
    let dht = session::client(&options.common, &[], output).await?;
    let value = dht.read(query).await?;
    dht.stop().await;
    let Some(item) = value else {
        return Err(Failure::new(Code::NotFound, format_args!("nobody has a value under {key}")));
    };
    let mut object = json!({
        "event": "value",
        "key": key.to_string(),
        "value": hex(item.as_bytes()),
        "signed": false,
    });
    if let (Some(fields), Item::Signed(signed)) = (object.as_object_mut(), &item) {
        fields.insert("signed".to_owned(), true.into());
        fields.insert("public_key".to_owned(), hex(signed.public_key()).into());
        fields.insert("salt".to_owned(), hex(signed.salt()).into());
        fields.insert("seq".to_owned(), signed.seq().into());
    }
    let mut printed = item.as_bytes();
    if mainline && let Some(fields) = object.as_object_mut() {
        if let Some(text) = bencode::as_string(printed) {
            fields.insert("string".to_owned(), hex(text).into());
            printed = text;
        }
        if let Some(hash) = magnet::info_hash_in(item.as_bytes()) {
            fields.insert("info_hash".to_owned(), hash.to_string().into());
        }
    }
    output.bytes(object, printed);
    Ok(())
}
