//! `kadlet relay`: a UDP socket at a distance, for nodes in browsers.

use core::net::{IpAddr, SocketAddr};
use core::ops::RangeInclusive;
use core::time::Duration;
use std::fs;
use std::path::PathBuf;

use clap::Args;
use kadlet::relay::{Counters, Limits, Origin, Relay, RelayError, Settings};
use serde_json::{Value, json};

use crate::cli::listen_address;
use crate::codes::{Code, Warning};
use crate::failure::Failure;
use crate::output::Output;
use crate::stop::Stop;

/// How often the counters are said, if they changed.
const COUNTERS_EVERY: Duration = Duration::from_secs(60);

/// Descriptors beside those of clients: sockets that listen, pages being loaded, fetches.
const BESIDES: usize = 700;

/// Descriptors of one client: its connection, and a port for each family.
const EACH: usize = 3;

/// Lend browsers a UDP port each, and serve them a page
#[derive(Args, Debug)]
#[command(
    after_help = "Examples:\n  kadlet relay --listen 127.0.0.1:4680 --allow-private --web page\n  \
                        kadlet relay --listen 0.0.0.0:4680 --token @token --origin https://example.org\n\n\
                        Pages connect to ws://IP:PORT/relay. A page from https needs --tls-cert, or a \
                        reverse proxy (docs/relay.md)."
)]
pub(crate) struct Options {
    /// Where to listen for HTTP and WebSockets, and on UDP for STUN; one of each family
    #[arg(long, value_name = "IP:PORT", required = true, value_parser = listen_address)]
    listen: Vec<SocketAddr>,
    /// Folder with the page to serve
    #[arg(long, value_name = "DIR")]
    web: Option<PathBuf>,
    /// What clients have to know; @FILE reads it from a file
    #[arg(long, value_name = "TOKEN")]
    token: Option<String>,
    /// Pages that may connect, or * for all [default: this relay's own, at an IP or localhost]
    #[arg(long, value_name = "ORIGIN")]
    origin: Vec<Origin>,
    /// Let clients reach loopback and private addresses
    #[arg(long)]
    allow_private: bool,
    /// Certificate chain in PEM
    #[arg(long, value_name = "FILE", requires = "tls_key", help_heading = "Network")]
    tls_cert: Option<PathBuf>,
    /// Its private key in PEM
    #[arg(long, value_name = "FILE", requires = "tls_cert", help_heading = "Network")]
    tls_key: Option<PathBuf>,
    /// A reverse proxy whose X-Forwarded-For is believed; can be given several times
    #[arg(long, value_name = "IP", help_heading = "Network")]
    proxy: Vec<IpAddr>,
    /// Where clients' UDP ports are opened; one of each family [default: as --listen]
    #[arg(long, value_name = "IP", help_heading = "Network")]
    udp: Vec<IpAddr>,
    /// The address others see instead, behind a router that translates one to one
    #[arg(long, value_name = "IP", help_heading = "Network")]
    external: Vec<IpAddr>,
    /// Ports that clients get
    #[arg(
        long,
        value_name = "FIRST-LAST",
        default_value = "49152-65535",
        value_parser = port_range,
        help_heading = "Network"
    )]
    ports: RangeInclusive<u16>,
    /// Clients at once [default: 1000]
    #[arg(long, value_name = "N", value_parser = positive, help_heading = "Limits")]
    max_clients: Option<u32>,
    /// Clients from one IPv4 /24 or IPv6 /48, this machine's included [default: 64, this
    /// machine's and private ones spared]
    #[arg(long, value_name = "N", value_parser = positive, help_heading = "Limits")]
    max_clients_per_source: Option<u32>,
    /// Datagrams a second of one client, each way [default: 500]
    #[arg(long, value_name = "N", value_parser = positive, help_heading = "Limits")]
    datagrams_per_second: Option<u32>,
    /// Bytes a second of one client, each way [default: 262144]
    #[arg(long, value_name = "N", value_parser = positive, help_heading = "Limits")]
    bytes_per_second: Option<u32>,
}

fn positive(text: &str) -> Result<u32, String> {
    match text.parse() {
        Ok(number @ 1..=1_000_000_000) => Ok(number),
        _ => Err("expected a number, at least 1 and at most 1000000000".to_owned()),
    }
}

fn port_range(text: &str) -> Result<RangeInclusive<u16>, String> {
    let ends = text
        .split_once('-')
        .and_then(|(first, last)| Some((first.parse::<u16>().ok()?, last.parse::<u16>().ok()?)));
    match ends {
        Some((first, last)) if first >= 1_024 && first <= last => Ok(first..=last),
        _ => Err("expected FIRST-LAST, such as 49152-65535, nothing below 1024".to_owned()),
    }
}

pub(crate) async fn run(options: Options, output: Output) -> Result<(), Failure> {
    let mut stop = Stop::listen();
    let output = output.of_work();
    let settings = settings(options, output)?;
    let relay = Relay::start(settings).await?;
    listening(&relay, output);
    let mut clock = tokio::time::interval(COUNTERS_EVERY);
    let mut said = relay.counters().to_json();
    clock.tick().await;
    loop {
        tokio::select! {
            _ = clock.tick() => tell(&relay.counters(), &mut said, output),
            () = stop.requested() => break,
        }
    }
    let last = relay.counters();
    relay.stop().await;
    tell(&last, &mut said, output);
    Ok(())
}

fn settings(options: Options, output: Output) -> Result<Settings, Failure> {
    let token = options.token.map(token).transpose()?;
    let mut settings = Settings::new(options.listen);
    settings.web = options.web;
    settings.token = token;
    settings.origins = options.origin;
    settings.allow_private = options.allow_private;
    settings.tls = options.tls_cert.zip(options.tls_key);
    settings.proxies = options.proxy;
    settings.udp = options.udp;
    settings.external = options.external;
    settings.ports = options.ports;
    let limits = &mut settings.limits;
    if let Some(most) = options.max_clients_per_source {
        limits.clients_per_source = most as usize;
        limits.spare_local = false;
    }
    limits.datagrams_per_second =
        options.datagrams_per_second.unwrap_or(limits.datagrams_per_second);
    limits.bytes_per_second = options.bytes_per_second.unwrap_or(limits.bytes_per_second);
    limit_clients(limits, options.max_clients, output)?;
    Ok(settings)
}

/// As many clients as were asked for, if there are descriptors for them.
fn limit_clients(limits: &mut Limits, asked: Option<u32>, output: Output) -> Result<(), Failure> {
    let wanted = asked.map_or(limits.clients, |asked| asked as usize);
    let descriptors = (BESIDES + EACH * wanted) as u64;
    let granted = rlimit::increase_nofile_limit(descriptors).unwrap_or(descriptors);
    limits.clients = wanted;
    if granted >= descriptors {
        return Ok(());
    }
    let possible = usize::try_from(granted).unwrap_or(usize::MAX).saturating_sub(BESIDES) / EACH;
    let message = format!(
        "{wanted} clients need {descriptors} file descriptors, and {granted} are allowed (ulimit -n)"
    );
    if asked.is_some() || possible == 0 {
        return Err(Failure::new(Code::NoDescriptors, message));
    }
    output.warning(Warning::NoDescriptors, format_args!("{message}: {possible} clients at most"));
    limits.clients = possible;
    Ok(())
}

/// The token itself, or the first line of a file.
fn token(given: String) -> Result<String, Failure> {
    let token = match given.strip_prefix('@') {
        Some(path) => {
            let text = fs::read_to_string(path).map_err(|error| Failure::io(path, &error))?;
            text.lines().next().unwrap_or_default().trim().to_owned()
        }
        None => given,
    };
    if token.is_empty() {
        return Err(Failure::new(Code::Usage, "the token is empty: anybody could guess it"));
    }
    Ok(token)
}

fn listening(relay: &Relay, output: Output) {
    let reached = relay.reached_at();
    let scheme = relay.scheme();
    let socket = if scheme == "https" { "wss" } else { "ws" };
    let addrs: Vec<String> = reached.iter().map(ToString::to_string).collect();
    let first = addrs.first().map_or("", String::as_str);
    output.event(
        json!({
            "event": "listening",
            "addr": first,
            "addrs": addrs,
            "url": format!("{scheme}://{first}/"),
            "relay": format!("{socket}://{first}/relay"),
            "stun": relay.stun().map(|address| address.to_string()),
            "public": relay.is_public(),
        }),
        format_args!("relay at {socket}://{first}/relay, page at {scheme}://{first}/"),
    );
}

/// The counters, if they say something new.
fn tell(counters: &Counters, said: &mut Value, output: Output) {
    let now = counters.to_json();
    if now == *said {
        return;
    }
    let mut event = json!({"event": "counters"});
    if let (Some(event), Some(counters)) = (event.as_object_mut(), now.as_object()) {
        event.extend(counters.clone());
    }
    let dropped: u64 =
        now["dropped"].as_object().map_or(0, |all| all.values().filter_map(Value::as_u64).sum());
    output.event(
        event,
        format_args!(
            "{} clients ({} sessions opened, {} refused), {} datagrams out, {} in, {dropped} dropped",
            counters.clients,
            counters.opened,
            counters.refused,
            counters.datagrams_out,
            counters.datagrams_in,
        ),
    );
    *said = now;
}

impl From<RelayError> for Failure {
    fn from(error: RelayError) -> Self {
        match error {
            RelayError::Start(error) => error.into(),
            RelayError::Tls { .. } => Self::new(Code::TlsFiles, error),
            RelayError::Web { .. } => Self::new(Code::WebFolder, error),
            _ => Self::new(Code::Usage, error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_of_ports_are_checked() {
        assert_eq!(port_range("40000-40010"), Ok(40_000..=40_010));
        for bad in ["", "40000", "40010-40000", "80-90", "40000-70000", "a-b"] {
            assert!(port_range(bad).is_err_and(|error| error.contains("FIRST-LAST")), "{bad}");
        }
    }

    #[test]
    fn a_token_may_stand_in_a_file() {
        let dir = tempfile::tempdir().expect("a folder");
        let file = dir.path().join("token");
        let from = |text: &str| {
            fs::write(&file, text).expect("written");
            token(format!("@{}", file.display()))
        };
        assert_eq!(from("secret\n").expect("a token"), "secret");
        assert_eq!(from("\n").expect_err("none").code, Code::Usage);
        assert_eq!(token("@/nowhere/at/all".to_owned()).expect_err("no file").code, Code::Io);
        assert_eq!(token("plain".to_owned()).expect("a token"), "plain");
    }
}
