//! The program as a child process: started, read line by line, ended.
//!
//! Tests wait for lines, never for a time; a guard ends a test that hangs.

use core::time::Duration;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::mpsc::{Sender, channel};
use std::thread;

use serde_json::Value;

/// Longest life of any child: what takes longer hangs.
const GUARD: Duration = Duration::from_secs(60);

/// Kills a child that outlives the guard, so that whoever reads from it sees the end.
fn guard(child: &Child) -> Sender<()> {
    let (ended, wait) = channel::<()>();
    let id = child.id();
    thread::spawn(move || {
        if wait
            .recv_timeout(GUARD)
            .is_err_and(|error| error == std::sync::mpsc::RecvTimeoutError::Timeout)
        {
            kill(id, "-KILL");
        }
    });
    ended
}

/// Sends a signal to a child of ours.
pub(crate) fn kill(id: u32, signal: &str) {
    let done = Command::new("kill").arg(signal).arg(id.to_string()).status();
    assert!(done.is_ok(), "kill is part of every Unix");
}

fn kadlet(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kadlet"));
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// A network name that no other test uses: tests run at once, on one machine.
pub(crate) fn network(test: &str) -> String {
    format!("{test}-{}", std::process::id())
}

/// What a command that ended has said.
#[derive(Debug)]
#[expect(dead_code, reason = "what is not looked at is shown where a test fails")]
pub(crate) struct Ended {
    pub(crate) status: Option<i32>,
    pub(crate) lines: Vec<Value>,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: String,
}

impl Ended {
    /// The events of one kind.
    pub(crate) fn events(&self, event: &str) -> Vec<&Value> {
        self.lines.iter().filter(|line| line["event"] == event).collect()
    }

    /// The only event of one kind.
    #[track_caller]
    pub(crate) fn event(&self, event: &str) -> &Value {
        let [only] = self.events(event)[..] else { panic!("not one {event}: {self:?}") };
        only
    }

    #[track_caller]
    pub(crate) fn succeeded(self) -> Self {
        assert_eq!(self.status, Some(0), "{self:?}");
        self
    }

    /// The command failed with this exit status and code, said at the end.
    #[track_caller]
    pub(crate) fn failed(&self, status: i32, code: &str) -> &Value {
        assert_eq!(self.status, Some(status), "{self:?}");
        let last = self.lines.last().unwrap_or(&Value::Null);
        assert_eq!((&last["event"], &last["code"]), (&"error".into(), &code.into()), "{self:?}");
        last
    }
}

/// Runs a command to its end.
pub(crate) fn run(arguments: &[&str]) -> Ended {
    let child = kadlet(arguments).spawn().expect("the program starts");
    let ended = guard(&child);
    let output = child.wait_with_output().expect("the program ends");
    drop(ended);
    let text = String::from_utf8_lossy(&output.stdout);
    Ended {
        status: output.status.code(),
        lines: text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect(),
        stdout: output.stdout.clone(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// Runs a command with `--json` on loopback, in a network, knowing one node.
pub(crate) fn ask(node: &Node, arguments: &[&str]) -> Ended {
    let mut all = arguments.to_vec();
    all.extend(["--json", "--no-lan", "--network", &node.network, "--bootstrap", &node.addr]);
    run(&all)
}

/// A node that runs until dropped.
pub(crate) struct Node {
    child: Child,
    /// None when nobody listens any more.
    lines: Option<BufReader<ChildStdout>>,
    _guard: Sender<()>,
    pub(crate) network: String,
    pub(crate) addr: String,
    /// One for each socket.
    pub(crate) addrs: Vec<String>,
    pub(crate) id: String,
}

impl Node {
    /// Starts a node on loopback and waits until it listens.
    pub(crate) fn start(network: &str, arguments: &[&str]) -> Self {
        Self::start_as("node", network, arguments)
    }

    /// The same for any command that stays.
    pub(crate) fn start_as(command: &str, network: &str, arguments: &[&str]) -> Self {
        let listen = [command, "--json", "--listen", "127.0.0.1:0", "--network", network];
        let mut all = listen.to_vec();
        all.extend(arguments);
        if !arguments.contains(&"--lan") {
            all.push("--no-lan");
        }
        all.retain(|argument| *argument != "--lan");
        Self::spawn(network, &all).listens()
    }

    /// Starts a command as it is, and waits for nothing.
    pub(crate) fn spawn(network: &str, arguments: &[&str]) -> Self {
        Self::of(network, kadlet(arguments))
    }

    fn of(network: &str, mut command: Command) -> Self {
        let mut child = command.spawn().expect("the program starts");
        let guard = guard(&child);
        let lines = child.stdout.take().map(BufReader::new);
        Self {
            child,
            lines,
            _guard: guard,
            network: network.to_owned(),
            addr: String::new(),
            addrs: Vec::new(),
            id: String::new(),
        }
    }

    /// Starts a command with limits on what it may take of the machine, as `ulimit` has them.
    pub(crate) fn spawn_limited(network: &str, limits: &str, arguments: &[&str]) -> Self {
        // Without the trap a file that is too long would be the end.
        Self::spawn_after(network, &format!("trap '' XFSZ; ulimit {limits}"), arguments)
    }

    /// Starts a command whose standard output is a file on a full disk.
    #[cfg(target_os = "linux")]
    pub(crate) fn spawn_without_room(network: &str, arguments: &[&str]) -> Self {
        Self::spawn_after(network, "exec > /dev/full", arguments)
    }

    fn spawn_after(network: &str, preparation: &str, arguments: &[&str]) -> Self {
        let mut command = Command::new("bash");
        let script = format!("{preparation}; exec \"$0\" \"$@\"");
        command.args(["-c", &script, env!("CARGO_BIN_EXE_kadlet")]).args(arguments);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        Self::of(network, command)
    }

    /// Starts a command that has its temporary files below a folder of its own.
    pub(crate) fn spawn_with_temporary(folder: &Path, arguments: &[&str]) -> Self {
        let mut command = kadlet(arguments);
        command.env("TMPDIR", folder);
        Self::of("", command)
    }

    /// Reads where it listens.
    pub(crate) fn listens(mut self) -> Self {
        let listening = self.wait_for("listening");
        self.addr = listening["addr"].as_str().expect("an address").to_owned();
        let addrs = listening["addrs"].as_array().into_iter().flatten();
        self.addrs = addrs.filter_map(|addr| addr.as_str().map(str::to_owned)).collect();
        self.id = listening["id"].as_str().expect("an id").to_owned();
        self
    }

    /// Gives or takes a limit while it runs.
    pub(crate) fn limit(&self, resource: rlimit::Resource, soft: u64) {
        let pid = i32::try_from(self.pid()).expect("a process id");
        let (mut _now, mut hard) = (0, 0);
        rlimit::prlimit(pid, resource, None, Some((&mut _now, &mut hard))).expect("our own child");
        rlimit::prlimit(pid, resource, Some((soft.min(hard), hard)), None).expect("our own child");
    }

    /// Shares in the network of a node.
    pub(crate) fn share(first: &Self, arguments: &[&str]) -> Self {
        let bootstrap = ["--bootstrap", &first.addr];
        Self::start_as("share", &first.network, &[&bootstrap, arguments].concat())
    }

    /// Starts a node that has joined by another one.
    pub(crate) fn join(first: &Self, arguments: &[&str]) -> Self {
        let mut all = vec!["--bootstrap", &first.addr];
        all.extend(arguments);
        let mut node = Self::start(&first.network, &all);
        node.wait_for("joined");
        node
    }

    /// The next event of this kind; those before it are passed over.
    #[track_caller]
    pub(crate) fn wait_for(&mut self, event: &str) -> Value {
        loop {
            let Some(line) = self.next() else { panic!("no {event} came: {}", self.complaint()) };
            if line["event"] == event {
                return line;
            }
        }
    }

    /// The next event, whatever it is; none at the end.
    pub(crate) fn next(&mut self) -> Option<Value> {
        let mut line = String::new();
        let lines = self.lines.as_mut().expect("somebody listens");
        let length = lines.read_line(&mut line).expect("a pipe");
        (length > 0).then(|| serde_json::from_str(&line).expect("an object a line"))
    }

    /// Closes its standard output and standard error: whatever read them has gone.
    pub(crate) fn unheard(&mut self) {
        self.lines = None;
        self.child.stderr = None;
    }

    /// What it has said on standard error.
    fn complaint(&mut self) -> String {
        let mut error = String::new();
        if let Some(stderr) = &mut self.child.stderr {
            let _ = stderr.read_to_string(&mut error);
        }
        error
    }

    /// Waits until it ends by itself, and gives its exit status.
    pub(crate) fn ended(mut self) -> Option<i32> {
        self.child.wait().expect("it ends").code()
    }

    /// Whether it has ended by itself.
    #[cfg(target_os = "linux")]
    pub(crate) fn has_ended(&mut self) -> bool {
        self.child.try_wait().expect("our own child").is_some()
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Ends it without a chance to say goodbye.
    pub(crate) fn kill(mut self) {
        self.child.kill().expect("it runs");
        self.child.wait().expect("it ends");
    }

    /// Asks it to stop, and gives its exit status.
    pub(crate) fn stop(mut self) -> Option<i32> {
        kill(self.pid(), "-TERM");
        self.child.wait().expect("it ends").code()
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Nodes that have joined one network, knowing the first of them.
pub(crate) fn network_of(size: usize, name: &str) -> Vec<Node> {
    let mut nodes = vec![Node::start(&network(name), &[])];
    while nodes.len() < size {
        nodes.push(Node::join(&nodes[0], &[]));
    }
    nodes
}
