//! `kadlet value`: read a value.

use clap::Args;
use kadlet::core::record::Item;
use kadlet::core::{GetQuery, Id};
use serde_json::json;

use crate::cli::Common;
use crate::codes::Code;
use crate::failure::Failure;
use crate::output::{Output, hex};
use crate::session;

/// Read the value under a key
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  kadlet value b35a3a4ce532bf9fea88312f8b549b2d106e0491 \
                        --bootstrap 192.168.1.5:4000\n\n\
                        The value goes to standard output as it is; with --json in hexadecimal.")]
pub(crate) struct Options {
    /// The key that `kadlet put` has printed, 40 hexadecimal digits
    key: Id,
    /// The salt of a signed value, where the network does not repeat it
    #[arg(long, default_value = "", hide_default_value = true)]
    salt: String,
    #[command(flatten)]
    common: Common,
}

pub(crate) async fn run(options: Options, output: Output) -> Result<(), Failure> {
    let dht = session::client(&options.common, &[], output).await?;
    let mut query = GetQuery::new(options.key);
    query.salt = options.salt.into_bytes();
    let value = dht.read(query).await?;
    dht.stop().await;
    let Some(item) = value else {
        return Err(Failure::new(
            Code::NotFound,
            format_args!("nobody has a value under {}", options.key),
        ));
    };
    let mut object = json!({
        "event": "value",
        "key": options.key.to_string(),
        "value": hex(item.as_bytes()),
        "signed": false,
    });
    if let (Some(fields), Item::Signed(signed)) = (object.as_object_mut(), &item) {
        fields.insert("signed".to_owned(), true.into());
        fields.insert("public_key".to_owned(), hex(signed.public_key()).into());
        fields.insert("salt".to_owned(), hex(signed.salt()).into());
        fields.insert("seq".to_owned(), signed.seq().into());
    }
    output.bytes(object, item.as_bytes());
    Ok(())
}
