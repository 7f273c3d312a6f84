//! `kadlet share`: files and folders, served and announced until stopped.

use core::cell::RefCell;
use core::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;
use kadlet::core::Announcement;
use kadlet::{Dht, Shares};
use tokio::sync::Notify;

use super::node::{join, listening};
use super::status;
use crate::cli::{Common, listen_address};
use crate::codes::{Code, Warning};
use crate::failure::Failure;
use crate::output::Output;
use crate::session;
use crate::stop::Stop;

mod forget;
mod kept;
mod sharer;

use sharer::Sharer;

/// Share files and folders until stopped
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  kadlet share song.flac --bootstrap 192.168.1.5:4000\n  \
                        kadlet share ~/Music --data ~/.kadlet\n\n\
                        A folder gets a link for each file and one for all of it. With --data and \
                        no file, what was shared before is shared again, until it is forgotten:\n  \
                        kadlet share --forget ~/Music --data ~/.kadlet")]
pub(crate) struct Options {
    /// Files and folders
    #[arg(value_name = "FILE", required_unless_present = "data")]
    files: Vec<PathBuf>,
    /// Whoever has the link can fetch, and nobody finds it by words
    #[arg(long)]
    unlisted: bool,
    /// Share these no more at the next start with this --data, and end; no node may work with it
    #[arg(long, requires = "files", requires = "data")]
    #[arg(conflicts_with_all = ["unlisted", "http"])]
    forget: bool,
    /// Where to serve the bytes over HTTP; can be given several times, with one port [default: the
    /// node's own addresses, any free port]
    #[arg(long, value_name = "IP:PORT", value_parser = listen_address)]
    http: Vec<SocketAddr>,
    /// Serve pages by data channels as well, which reach them through NATs
    #[cfg(feature = "webrtc")]
    #[arg(long, conflicts_with = "forget")]
    webrtc: bool,
    #[command(flatten)]
    common: Common,
}

pub(crate) async fn run(options: Options, output: Output) -> Result<(), Failure> {
    session::needs_own_network(&options.common, "files, it is for torrents")?;
    needs_one_port(&options.http)?;
    if options.forget {
        return forget::run(&options.files, &options.common, output);
    }
    let mut stop = Stop::listen();
    let output = output.of_work();
    let common = &options.common;
    let mut builder = session::builder(common);
    #[cfg(feature = "webrtc")]
    {
        builder = builder.webrtc(options.webrtc);
    }
    if let Some(dir) = &common.data {
        builder = builder.data(dir);
    }
    let dht = session::start(builder, output).await?;
    let mut here = options.http.clone();
    if here.is_empty() {
        // Beside each of the node's sockets: they announce one port, whoever hears it from which.
        here.extend_from_slice(dht.bound_addrs());
        here.iter_mut().for_each(|address| address.set_port(0));
    }
    let shares = Shares::listen_all(&here).await?;
    #[cfg(feature = "webrtc")]
    if options.webrtc {
        shares.serve_by_channel(&dht);
    }
    status::begin(&dht, common, output).await;
    listening(&dht, output);
    let result = tokio::select! {
        result = serve(&dht, &shares, &options, output) => result,
        () = status::keep(&dht, common, output) => Ok(()),
        () = watch_descriptors(&shares, output) => Ok(()),
        () = stop.requested() => Ok(()),
    };
    dht.stop().await;
    if let Some(dir) = &common.data {
        status::remove(dir);
    }
    result
}

/// Refuses what no announcement could say.
fn needs_one_port(http: &[SocketAddr]) -> Result<(), Failure> {
    let mut ports = http.iter().map(SocketAddr::port).filter(|port| *port != 0);
    let port = ports.next();
    if ports.all(|other| Some(other) == port) {
        return Ok(());
    }
    let text =
        "two ports with --http: announcements name one for all addresses, give each the same";
    Err(Failure::new(Code::Usage, text))
}

/// Says when others have to wait for a lack of ours.
async fn watch_descriptors(shares: &Shares, output: Output) {
    let mut starved = shares.starved();
    while starved.changed().await.is_ok() {
        output.warning(
            Warning::NoDescriptors,
            "no file descriptors are left: whoever fetches from here has to wait; raise the limit \
             (ulimit -n 4096)",
        );
    }
    core::future::pending().await
}

async fn serve(
    dht: &Dht,
    shares: &Shares,
    options: &Options,
    output: Output,
) -> Result<(), Failure> {
    // What becomes known while it joins is told below.
    let notices = dht.notices();
    join(dht, &options.common, output).await?;
    if dht.kept_shares().is_empty() && !options.unlisted {
        output.note(
            "From now on the names of these files and this machine's address are public. \
             --unlisted publishes no names.",
        );
    }
    let http = Announcement::http(shares.addr().port());
    #[cfg(feature = "webrtc")]
    let by_channel = options.webrtc.then(Announcement::data_channel);
    #[cfg(not(feature = "webrtc"))]
    let by_channel = None;
    let announcements = core::iter::once(http).chain(by_channel).collect();
    let sharer = Sharer {
        dht,
        shares,
        output,
        announcements,
        shared: RefCell::default(),
        waiting: RefCell::default(),
        queued: Notify::new(),
    };
    // Hashing can take hours, in which what is shared already is published, and changes.
    let sharing = sharer.share_all(options);
    let publishing = sharer.publish_all();
    let attending = sharer.attend(shares.withdrawn(), notices);
    tokio::pin!(sharing, publishing, attending);
    let mut is_sharing = true;
    loop {
        tokio::select! {
            // A publication is remembered before what becomes of it is heard.
            biased;
            shared = &mut sharing, if is_sharing => {
                if !shared {
                    return Err(Failure::new(Code::NothingShared, "nothing could be shared"));
                }
                is_sharing = false;
            }
            () = &mut publishing => return Ok(()),
            () = &mut attending => return Ok(()),
        }
    }
}
