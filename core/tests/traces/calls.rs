//! Makes on a node the call that a line names, and collects what comes of it.

use core::str::FromStr;
use core::time::Duration;

use kadlet_core::record::{Item, SearchEntry, SearchQuery, SignedValue, Transports};
use kadlet_core::{
    Announcement, Capabilities, Config, Families, GetQuery, Id, Instant, LinkId, Network, Node,
    OperationId, Path, PutOptions, Role,
};
use serde_json::{Value, json};

use crate::words;

/// Every verb but the polls, which stand in the outputs of each call.
pub(crate) const VERBS: [&str; 31] = [
    "new",
    "restore",
    "handle_datagram",
    "handle_path_failed",
    "handle_timeout",
    "link_up",
    "link_down",
    "bootstrap",
    "find_node",
    "providers",
    "announce",
    "get",
    "put",
    "search",
    "publish",
    "signal",
    "cancel",
    "set_deadline",
    "set_id",
    "shutdown",
    "export_state",
    "restore_record",
    "id",
    "config",
    "table",
    "closest",
    "operation",
    "stats",
    "health",
    "estimate",
    "sign",
];

/// Makes the call; `new` and `restore` put another node into `node`.
pub(crate) fn perform(node: &mut Option<Node>, call: &Value) -> Value {
    let returns = made(node, call).unwrap_or_else(|error| json!({"error": error}));
    let Some(node) = node else { return json!({"returns": returns}) };
    let transmits: Value = core::iter::from_fn(|| node.poll_transmit())
        .map(|transmit| {
            json!({"path": words::path(transmit.path), "payload": words::hex(&transmit.payload)})
        })
        .collect();
    let events: Value =
        core::iter::from_fn(|| node.poll_event()).map(|event| words::event(&event)).collect();
    let changes: Value =
        core::iter::from_fn(|| node.poll_change()).map(|change| words::change(&change)).collect();
    json!({
        "returns": returns,
        "transmits": transmits,
        "events": events,
        "changes": changes,
        "deadline": node.poll_timeout().map(Instant::as_micros),
    })
}

fn made(node: &mut Option<Node>, call: &Value) -> Result<Value, String> {
    let at = |name: &str| Instant::from_micros(call[name].as_u64().unwrap());
    let after = |name: &str| Duration::from_micros(call[name].as_u64().unwrap());
    let id = |name: &str| -> Id { parsed(&call[name]) };
    let operation = || OperationId(call["operation"].as_u64().unwrap());
    let family = || words::family(call["family"].as_str().unwrap());
    let renew = || call["renew"].as_bool().unwrap();
    let of = |id: OperationId| json!(id.0);
    match call["call"].as_str().unwrap() {
        "new" => {
            let seed = array(&call["seed"]);
            *node = Some(Node::new(config(&call["config"]), id("id"), seed, at("now")));
            return Ok(Value::Null);
        }
        "restore" => {
            let (config, seed) = (config(&call["config"]), array(&call["seed"]));
            let state = unhex(&call["state"]);
            let restored = Node::restore(config, &state, seed, at("now"), after("elapsed"));
            *node = Some(restored.map_err(|error| error.to_string())?);
            return Ok(Value::Null);
        }
        // No verb of the node, but what signed values are made with in every language.
        "sign" => {
            let (secret, salt, value) =
                (array(&call["secret"]), unhex(&call["salt"]), unhex(&call["value"]));
            let seq = call["seq"].as_u64().unwrap();
            let signed = SignedValue::sign(&secret, &salt, seq, &value);
            return Ok(words::signed_value(&signed.map_err(|error| error.to_string())?));
        }
        _ => {}
    }
    let node = node.as_mut().unwrap();
    Ok(match call["call"].as_str().unwrap() {
        "handle_datagram" => {
            let (path, datagram) = (path(&call["path"]), unhex(&call["datagram"]));
            let rejected = node.handle_datagram(at("now"), path, &datagram).err();
            json!(rejected.map(|why| why.name()))
        }
        "handle_path_failed" => json!(node.handle_path_failed(at("now"), path(&call["path"]))),
        "handle_timeout" => json!(node.handle_timeout(at("now"))),
        "link_up" => {
            let families = call["families"].as_array().unwrap().iter();
            let families = families.fold(Families::NONE, |all, name| {
                all.union(Families::only(words::family(name.as_str().unwrap())))
            });
            let mtu = call["mtu"].as_u64().unwrap() as u16;
            let link = LinkId(call["link"].as_u64().unwrap() as u16);
            json!(node.link_up(at("now"), link, parsed(&call["local"]), families, mtu))
        }
        "link_down" => {
            json!(node.link_down(at("now"), LinkId(call["link"].as_u64().unwrap() as u16)))
        }
        "bootstrap" => {
            let addresses: Vec<_> =
                call["addresses"].as_array().unwrap().iter().map(path).collect();
            of(node.bootstrap(at("now"), &addresses))
        }
        "find_node" => of(node.find_node(at("now"), id("target"))),
        "providers" => of(node.providers(at("now"), id("key"))),
        "announce" => {
            let mut announcement = Announcement::http(0);
            announcement.port = call["port"].as_u64().map(|port| port as u16);
            announcement.transports = Transports(call["transports"].as_u64().unwrap() as u8);
            announcement.renew = renew();
            of(node.announce(at("now"), id("key"), announcement))
        }
        "get" => {
            let mut query = GetQuery::new(id("key"));
            query.salt = unhex(&call["salt"]);
            query.newer_than = call["newer_than"].as_u64();
            of(node.get(at("now"), query))
        }
        "put" => {
            let mut options = PutOptions::default();
            options.cas = call["cas"].as_u64();
            options.renew = renew();
            let id = node.put(at("now"), item(&call["item"])?, options);
            of(id.map_err(|error| error.to_string())?)
        }
        "search" => {
            let query = SearchQuery::parse(call["query"].as_str().unwrap());
            of(node.search(at("now"), query.map_err(|error| error.to_string())?))
        }
        "publish" => {
            let id = node.publish(at("now"), entry(&call["entry"])?, renew());
            of(id.map_err(|error| error.to_string())?)
        }
        "signal" => {
            let id = node.signal(at("now"), id("target"), &unhex(&call["payload"]));
            of(id.map_err(|error| error.to_string())?)
        }
        "cancel" => json!(node.cancel(at("now"), operation())),
        "set_deadline" => json!(node.set_deadline(at("now"), operation(), after("after"))),
        "set_id" => json!(node.set_id(at("now"), id("id"))),
        "shutdown" => json!(node.shutdown(at("now"))),
        "export_state" => json!(words::hex(&node.export_state(at("now")))),
        "restore_record" => {
            let record = unhex(&call["record"]);
            let restored = node.restore_record(at("now"), &record, after("elapsed"));
            json!(restored.map_err(|error| error.to_string())?)
        }
        "id" => json!(node.id().to_string()),
        "config" => words_of(node.config()),
        "table" => words::table(node.table(family())),
        "closest" => words::contacts(&node.closest(id("target"), family())),
        "operation" => json!(node.operation(operation()).as_ref().map(words::progress)),
        "stats" => words::stats(node.stats()),
        "health" => words::health(&node.health()),
        "estimate" => json!(node.estimate()),
        other => panic!("no verb {other}"),
    })
}

pub(crate) fn unhex(text: &Value) -> Vec<u8> {
    let text = text.as_str().unwrap();
    (0..text.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap())
        .collect()
}

fn array<const N: usize>(text: &Value) -> [u8; N] {
    unhex(text).try_into().unwrap()
}

fn parsed<T: FromStr<Err: core::fmt::Debug>>(text: &Value) -> T {
    text.as_str().unwrap().parse().unwrap()
}

pub(crate) fn path(value: &Value) -> Path {
    Path { link: LinkId(value["link"].as_u64().unwrap() as u16), remote: parsed(&value["remote"]) }
}

fn item(value: &Value) -> Result<Item, String> {
    if value.is_string() {
        let value = kadlet_core::record::Value::new(unhex(value));
        return Ok(Item::Immutable(value.map_err(|error| error.to_string())?));
    }
    let signed = SignedValue::new(
        array(&value["public_key"]),
        unhex(&value["salt"]),
        value["seq"].as_u64().unwrap(),
        unhex(&value["value"]),
        array(&value["signature"]),
        unhex(&value["extra"]),
    );
    Ok(Item::Signed(signed.map_err(|error| error.to_string())?))
}

fn entry(value: &Value) -> Result<SearchEntry, String> {
    let (name, size) = (value["name"].as_str().unwrap(), value["size"].as_u64().unwrap());
    let (content, extra) = (array(&value["content"]), unhex(&value["extra"]));
    SearchEntry::with_extra(name, size, content, extra).map_err(|error| error.to_string())
}

/// The settings that a trace names; the others are the default.
fn config(value: &Value) -> Config {
    let mut config = Config::default();
    config.network = match value["network"].as_str() {
        Some(name) => Network::Native(name.to_string()),
        None => Network::Mainline,
    };
    config.role = match value["role"].as_str().unwrap() {
        "auto" => Role::Auto,
        "client" => Role::Client,
        "server" => Role::Server,
        other => panic!("no role {other}"),
    };
    config.capabilities = Capabilities(value["capabilities"].as_u64().unwrap() as u32);
    config.deadline = Duration::from_micros(value["deadline"].as_u64().unwrap());
    config.store.max_changes = value["max_changes"].as_u64().unwrap() as u32;
    config
}

fn words_of(config: &Config) -> Value {
    json!({
        "network": match &config.network {
            Network::Native(name) => Some(name),
            _ => None,
        },
        "role": match config.role {
            Role::Auto => "auto",
            Role::Client => "client",
            Role::Server => "server",
        },
        "capabilities": config.capabilities.0,
        "deadline": words::micros(config.deadline),
        "max_changes": config.store.max_changes,
    })
}
