//! A node for a command: started as the options say, with somebody to talk to.

use core::net::SocketAddr;
use core::time::Duration;
use std::path::Path;

use kadlet::core::record::Form;
use kadlet::core::wire::mainline;
use kadlet::core::wire::mainline::magnet::{self, Torrent};
use kadlet::core::{Family, GetQuery, Id};
use kadlet::{Attempt, Builder, Dht, HostPort};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::cli::{Common, KeyArgument};
use crate::codes::{Code, Warning};
use crate::commands::status;
use crate::failure::Failure;
use crate::output::Output;

/// How long a command listens for nodes in the local network before it gives up. They answer
/// within a second, which is their quiet time.
pub(crate) const LAN_PATIENCE: Duration = Duration::from_millis(2_500);

/// The builder that the options describe.
pub(crate) fn builder(common: &Common) -> Builder {
    let mut builder = Dht::builder().network(&common.network).lan(!common.no_lan);
    for address in &common.listen {
        builder = builder.listen(*address);
    }
    let timeout = common.timeout;
    builder.config(|config| config.deadline = timeout)
}

/// A node that a command works with, and what watches over its folder meanwhile.
pub(crate) struct Session {
    dht: Dht,
    watcher: JoinHandle<()>,
}

impl core::ops::Deref for Session {
    type Target = Dht;

    fn deref(&self) -> &Dht {
        &self.dht
    }
}

impl Session {
    /// Stops the node; whatever there is to say of its folder is said when this returns.
    pub(crate) async fn stop(self) {
        self.dht.shutdown().await;
        // It ends with the node, and cannot panic.
        let _ = self.watcher.await;
    }
}

/// Starts a node and says what its folder could not give back, and from then on whether it can be
/// written.
pub(crate) async fn start(builder: Builder, output: Output) -> Result<Session, Failure> {
    let dht = builder.start().await?;
    for damage in dht.damage() {
        output.warning(Warning::DataDamaged, damage);
    }
    let watcher = tokio::spawn(watch_folder(dht.unwritable(), output));
    Ok(Session { dht, watcher })
}

async fn watch_folder(mut unwritable: watch::Receiver<Option<String>>, output: Output) {
    while unwritable.changed().await.is_ok() {
        let reason = unwritable.borrow_and_update().clone();
        match reason {
            Some(reason) => output.warning(
                Warning::DataUnwritable,
                format_args!(
                    "the state cannot be written ({reason}): make room, or see to the folder; until \
                     then this node keeps no records for others, and would not remember its own"
                ),
            ),
            None => output.warning(Warning::DataWritten, "the state can be written again, and is"),
        }
    }
}

/// A client for one question: it has somebody to ask when this returns. `more` are contacts that
/// came with the question itself.
pub(crate) async fn client(
    common: &Common,
    more: &[HostPort],
    output: Output,
) -> Result<Session, Failure> {
    let mut given = common.bootstrap.clone();
    given.extend_from_slice(more);
    let mut builder = builder(common).client();
    if let Some(dir) = &common.data {
        match running_in(dir) {
            // The node that works with the folder knows everybody in it.
            Some(addresses) if !(given.is_empty() && addresses.is_empty()) => {
                given.extend(addresses)
            }
            // Another command has it for a moment: said when it cannot be opened.
            _ => builder = builder.data(dir),
        }
    }
    // Addresses that came with a link, or lie in a folder, may be those of yesterday.
    let looks_around = !common.no_lan && common.bootstrap.is_empty();
    let dht = start(builder.lan(looks_around), output).await?;
    if given.is_empty() {
        given = entries(common, contacts(&dht).await);
    }
    meet(&dht, &given, output).await?;
    Ok(dht)
}

/// Where to begin: the addresses given, or on Mainline's public network those that everybody knows,
/// unless contacts were kept.
pub(crate) fn entries(common: &Common, kept: usize) -> Vec<HostPort> {
    let mut given = common.bootstrap.clone();
    if given.is_empty() && kept == 0 && common.is_mainline() && !common.stays_local() {
        given.extend(mainline::ROUTERS.iter().filter_map(|router| router.parse().ok()));
    }
    given
}

/// Refuses what BitTorrent's network alone has; `else_` says how it is in others.
pub(crate) fn needs_mainline(common: &Common, else_: &str) -> Result<(), Failure> {
    if common.is_mainline() {
        return Ok(());
    }
    let text = format_args!("in this network {else_}: that is Mainline's, add --network mainline");
    Err(Failure::new(Code::Usage, text))
}

/// Refuses what BitTorrent's network does not have.
pub(crate) fn needs_own_network(common: &Common, what: &str) -> Result<(), Failure> {
    if !common.is_mainline() {
        return Ok(());
    }
    Err(Failure::new(Code::Usage, format_args!("Mainline has no {what}: leave out --network")))
}

/// What a key stands for: of a mutable torrent, the one its owner named last.
pub(crate) async fn torrent(dht: &Dht, key: &KeyArgument) -> Result<Id, Failure> {
    match key {
        KeyArgument::Key(key) | KeyArgument::Torrent(Torrent::Hash(key)) => return Ok(*key),
        KeyArgument::Torrent(Torrent::Key { .. }) => {}
    }
    let query = value_query(key, Vec::new())?;
    let value = dht.read(query).await?;
    let named = value.and_then(|item| magnet::info_hash_in(item.as_bytes()));
    named.ok_or_else(|| Failure::new(Code::NotFound, "nobody has what this key's owner has said"))
}

/// How the value under a key is asked for.
pub(crate) fn value_query(key: &KeyArgument, salt: Vec<u8>) -> Result<GetQuery, Failure> {
    let mut query = match key {
        KeyArgument::Key(key) => GetQuery::new(*key),
        KeyArgument::Torrent(Torrent::Key { public_key, salt }) => {
            let mut query = GetQuery::new(Form::Bencode.signed_key(public_key, salt));
            query.salt = salt.clone();
            query
        }
        KeyArgument::Torrent(Torrent::Hash(_)) => {
            let text = "this link names a torrent and no value: kadlet peers finds who has it";
            return Err(Failure::new(Code::Usage, text));
        }
    };
    if !salt.is_empty() {
        query.salt = salt;
    }
    Ok(query)
}

/// An id that nobody can guess.
pub(crate) fn random_id() -> Result<Id, Failure> {
    let mut bytes = [0; Id::LEN];
    getrandom::fill(&mut bytes).map_err(|error| Failure::new(Code::Io, error))?;
    Ok(Id::new(bytes))
}

/// Where the node that works with a folder at present is reached; none if nobody works with it.
fn running_in(dir: &Path) -> Option<Vec<HostPort>> {
    let holder = kadlet::folder_in_use(dir)?;
    Some(status::addresses_in(dir, holder))
}

/// Asks whoever there is: those given, those kept, those nearby.
async fn meet(dht: &Dht, given: &[HostPort], output: Output) -> Result<(), Failure> {
    if !given.is_empty() {
        match dht.contact(given).await {
            Ok(joined) => {
                warn_of_failed(&joined.attempts, output);
                return Ok(());
            }
            Err(error) => {
                if contacts(dht).await == 0 && dht.discover(LAN_PATIENCE).await == 0 {
                    return Err(error.into());
                }
                warn_of_failed(&error.attempts, output);
                return Ok(());
            }
        }
    }
    if contacts(dht).await > 0 || dht.discover(LAN_PATIENCE).await > 0 {
        return Ok(());
    }
    Err(nobody())
}

/// How many contacts the node has.
pub(crate) async fn contacts(dht: &Dht) -> usize {
    let Ok(health) = dht.health().await else { return 0 };
    health.contacts.iter().map(|(_, contacts)| contacts).sum()
}

/// A few contacts that answered, for links: `kadlet get LINK` then needs no other option.
pub(crate) async fn contacts_for_links(dht: &Dht) -> Vec<SocketAddr> {
    let live = dht.inspect(|node, _| {
        let tables = Family::ALL.map(|family| node.table(family));
        let live = tables.into_iter().flat_map(|table| table.iter()).filter(|entry| entry.live);
        live.map(|entry| entry.contact.addr()).take(LINK_CONTACTS).collect()
    });
    live.await.unwrap_or_default()
}

/// Contacts in a link: enough that one of them is there tomorrow.
const LINK_CONTACTS: usize = 3;

/// A warning for each address that does not work while others do.
pub(crate) fn warn_of_failed(attempts: &[Attempt], output: Output) {
    for attempt in attempts {
        // Of a name with several addresses one is enough.
        let works = |other: &Attempt| other.given == attempt.given && other.is_ok();
        if !attempt.is_ok() && !attempts.iter().any(works) {
            output.warning(Warning::BootstrapFailed, attempt);
        }
    }
}

/// There is nobody to ask, and what to do about it.
fn nobody() -> Failure {
    Failure::new(
        Code::NoContacts,
        "there is nobody to ask: add --bootstrap HOST:PORT with the address that a running node \
         has printed (start one with: kadlet node), or --data DIR with the folder of a node that \
         has run before",
    )
}
