//! No acknowledged turn is lost: the node's process is killed again and again in the middle of durable calls, and after
//! each restart every acknowledged row is there, once, its reaction too, and indexes and counters agree with the rows.
//!
//! `INTERSTICE_SEEDS=7` repeats a failure; the seed is printed with it. What is killed is chosen by counting
//! acknowledgements, not by the clock.

#[path = "../../actors/tests/common/emit.rs"]
mod emit;
#[path = "../../actors/tests/common/guest.rs"]
#[allow(dead_code, reason = "each test binary uses its own part")]
mod guest;
#[path = "../../actors/tests/common/op.rs"]
#[allow(dead_code, reason = "each test binary uses its own part")]
mod op;
#[path = "../../actors/tests/common/peer.rs"]
#[allow(dead_code, reason = "each test binary uses its own part")]
mod peer;

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{SystemTime, UNIX_EPOCH},
};

use guest::{GuestModule, GuestTable};
use interstice_abi::{event::RowEvent, schema::IndexKind};
use interstice_client::Identity;
use op::{Op, arg, call, insert, must, reg, upsert};
use peer::Peer;
use tokio::sync::Notify;

/// How often the process is killed.
const ROUNDS: u64 = 12;

/// Clients that call at the same time, each on a connection of its own.
const CLIENTS: u64 = 3;

/// Most acknowledgements before a kill.
const ACKNOWLEDGED_MAX: u64 = 150;

/// Bytes of the log between two checkpoints: a few dozen calls.
const CHECKPOINT_BYTES: i64 = 8192;

/// Calls that a client has under way.
const IN_FLIGHT: u64 = 8;

/// Counts rows per client, so that one step changes two modules.
fn tally() -> GuestModule {
    GuestModule::new("tally")
        .table(GuestTable::new("Counts", &["rows"]))
        .reducer(
            "bump",
            1,
            vec![
                // Stays 0 where there is no row yet.
                Op::Set(2, 0.into()),
                Op::Get {
                    table: "counts".into(),
                    index: 0,
                    key: arg(0),
                    columns: 2,
                    into: 0,
                },
                must(upsert("counts", [arg(0), reg(2).plus(1)])),
            ],
        )
}

fn ledger() -> GuestModule {
    let same = Op::ScanEqual {
        table: "entries".into(),
        index: 1,
        value: arg(0),
        into: 0,
    };
    GuestModule::new("ledger")
        .depends_on(&tally())
        .table(
            GuestTable::new("Entries", &["client", "token"])
                .auto_inc()
                .index(1, IndexKind::Btree, false)
                .index(2, IndexKind::Hash, true),
        )
        .reducer(
            "add",
            2,
            vec![
                must(insert("entries", [0.into(), arg(0), arg(1)])),
                must(call("tally", "bump", [arg(0)])),
            ],
        )
        .query("same", 1, vec![same, Op::Return(reg(0))])
        .query(
            "by_token",
            1,
            vec![
                Op::Get {
                    table: "entries".into(),
                    index: 2,
                    key: arg(0),
                    columns: 3,
                    into: 0,
                },
                Op::Return(reg(1)),
            ],
        )
}

/// Copies each entry in a reaction.
fn mirror() -> GuestModule {
    GuestModule::new("mirror")
        .depends_on(&ledger())
        .table(GuestTable::new("Copies", &["entry", "token"]).auto_inc())
        .on_row(
            "ledger.entries",
            RowEvent::Insert,
            "copy",
            vec![must(insert("copies", [0.into(), arg(0), arg(2)]))],
        )
}

/// SplitMix64.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound
    }
}

fn program(home: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_interstice-cli"));
    command
        .env("INTERSTICE_HOME", home)
        .env_remove("INTERSTICE_NODE");
    command
}

/// A node's process.
struct Running {
    child: Child,
    address: String,
}

impl Running {
    /// Starts `up` and waits until it says where the node listens.
    fn up(home: &Path) -> Self {
        let child = program(home)
            .args(["up", "--name", "killed", "--local", "--json"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .expect("the program starts");
        let mut running = Self {
            child,
            address: String::new(),
        };
        let said = running.child.stdout.take().expect("it is piped");
        let mut heard = String::new();
        for line in BufReader::new(said).lines() {
            let line = line.expect("it is text");
            let mut words = line.split(['"', ' ', ',']);
            if let Some(address) = words.find(|word| word.starts_with("/ip4/127.0.0.1/")) {
                running.address = address.to_string();
                return running;
            }
            heard.push_str(&line);
        }
        unreachable!("the node ended without saying where it listens: {heard}");
    }

    /// SIGKILL.
    fn kill(&mut self) {
        self.child.kill().expect("it runs");
        self.child.wait().expect("it ends");
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Only when a check has failed; otherwise it is dead already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// So that checkpoints are killed too.
fn checkpoint_often(home: &Path) {
    let nodes = std::fs::read_dir(home.join("nodes"))
        .expect("a folder")
        .flatten();
    let path = nodes
        .map(|entry| entry.path().join("node.toml"))
        .find(|path| path.is_file())
        .expect("`up` has made a node");
    let text = std::fs::read_to_string(&path).expect("it is text");
    let mut config: toml::Table = text.parse().expect("it is valid");
    config.insert("checkpoint_bytes".into(), CHECKPOINT_BYTES.into());
    std::fs::write(path, config.to_string()).expect("it is written");
}

fn deploy(home: &Path, module: &GuestModule) {
    let path = home.join(format!("{}.wasm", module.name));
    std::fs::write(&path, module.wasm()).expect("it is written");
    let status = program(home)
        .arg("deploy")
        .arg(&path)
        .args(["--node", "killed"])
        .stdout(Stdio::null())
        .status();
    assert!(
        status.expect("the program starts").success(),
        "deploy {}",
        module.name
    );
}

/// Tokens by what is known of them.
#[derive(Default)]
struct Tokens {
    sent: BTreeSet<u64>,
    acknowledged: BTreeSet<u64>,
}

/// What all clients of a round share.
struct Round {
    acknowledged: AtomicU64,
    kill_at: u64,
    kill: Notify,
}

/// Sends durable calls, [`IN_FLIGHT`] at a time, until the node is gone.
async fn client(peer: Peer, number: u64, first: u64, round: Arc<Round>) -> Tokens {
    let mut tokens = Tokens::default();
    let mut next = first;
    loop {
        let batch: Vec<u64> = (next..next + IN_FLIGHT).collect();
        next += IN_FLIGHT;
        tokens.sent.extend(&batch);
        let calls = batch.iter().map(|token| {
            let (peer, round) = (&peer, &round);
            async move {
                let answer = peer.call("ledger", "add", &[number, *token]).await;
                if answer.is_ok()
                    && round.acknowledged.fetch_add(1, Ordering::Relaxed) + 1 == round.kill_at
                {
                    round.kill.notify_one();
                }
                answer
            }
        });
        let answers = futures::future::join_all(calls).await;
        let done = answers.iter().any(Result::is_err);
        for (token, answer) in batch.into_iter().zip(answers) {
            match answer {
                Ok(called) => {
                    assert_eq!((called.failed, called.dropped), (0, 0));
                    tokens.acknowledged.insert(token);
                }
                Err(failure) => assert_eq!(
                    failure.code,
                    interstice_abi::failure::Code::Unavailable,
                    "{failure}"
                ),
            }
        }
        if done {
            return tokens;
        }
    }
}

/// Everything that has to hold, whatever was killed when. `known` are the keys that durable rows had before.
async fn check(peer: &Peer, tokens: &Tokens, known: &mut BTreeMap<u64, u64>) {
    let entries = peer.rows("ledger", "entries").await.expect("is there");
    let copies = peer.rows("mirror", "copies").await.expect("is there");
    let counts = peer.rows("tally", "counts").await.expect("is there");
    let by_token: BTreeMap<u64, u64> = entries.iter().map(|row| (row[2], row[0])).collect();
    assert_eq!(by_token.len(), entries.len(), "no call has run twice");
    let lost: Vec<&u64> = tokens
        .acknowledged
        .iter()
        .filter(|token| !by_token.contains_key(token))
        .collect();
    assert!(lost.is_empty(), "acknowledged and lost: {lost:?}");
    assert!(
        by_token.keys().all(|token| tokens.sent.contains(token)),
        "nothing comes from nowhere"
    );

    let reacted: BTreeMap<u64, u64> = copies.iter().map(|row| (row[2], row[1])).collect();
    assert_eq!(copies.len(), entries.len(), "each reaction has run once");
    assert_eq!(reacted, by_token, "and for the right row");

    for number in 0..CLIENTS {
        let rows = entries.iter().filter(|row| row[1] == number).count() as u64;
        let counted = counts
            .iter()
            .find(|row| row[0] == number)
            .map_or(0, |row| row[1]);
        assert_eq!(counted, rows, "both modules of a step have kept it");
        assert_eq!(
            peer.query("ledger", "same", &[number]).await,
            Ok(rows),
            "the index agrees"
        );
    }
    for (token, key) in by_token.iter().rev().take(20) {
        assert_eq!(
            peer.query("ledger", "by_token", &[*token]).await,
            Ok(*key),
            "the unique index agrees"
        );
    }
    for (key, token) in known.iter() {
        assert_eq!(
            by_token.get(token),
            Some(key),
            "a row that was there has its key still"
        );
    }
    known.extend(by_token.into_iter().map(|(token, key)| (key, token)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_acknowledged_row_survives_kills_exactly_once() {
    let clock = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| u64::from(since.subsec_nanos()));
    let seed = std::env::var("INTERSTICE_SEEDS")
        .ok()
        .and_then(|seed| seed.parse().ok())
        .unwrap_or(clock);
    eprintln!("seed: INTERSTICE_SEEDS={seed}");
    let mut random = Random(seed);
    let home = tempfile::tempdir().expect("a folder");
    let mut node = Running::up(home.path());
    node.kill();
    checkpoint_often(home.path());
    let mut node = Running::up(home.path());
    for module in [tally(), ledger(), mirror()] {
        deploy(home.path(), &module);
    }
    let key = Identity::load(&home.path().join("key")).expect("`up` has made a key");
    let mut tokens = Tokens::default();
    let mut known = BTreeMap::new();
    for number in 0..ROUNDS {
        let kill_at = 1 + random.below(ACKNOWLEDGED_MAX);
        let round = Arc::new(Round {
            acknowledged: AtomicU64::new(0),
            kill_at,
            kill: Notify::new(),
        });
        let mut clients = Vec::new();
        for client_number in 0..CLIENTS {
            let peer = Peer::connect(&node.address, &key).await;
            let first = (number * CLIENTS + client_number + 1) * 1_000_000;
            clients.push(tokio::spawn(client(
                peer,
                client_number,
                first,
                round.clone(),
            )));
        }
        round.kill.notified().await;
        node.kill();
        for client in clients {
            let theirs = client.await.expect("does not panic");
            tokens.sent.extend(theirs.sent);
            tokens.acknowledged.extend(theirs.acknowledged);
        }
        node = Running::up(home.path());
        let peer = Peer::connect(&node.address, &key).await;
        check(&peer, &tokens, &mut known).await;
        eprintln!(
            "round {number}: killed after {kill_at} acknowledgements; {} rows",
            known.len()
        );
    }
    node.kill();
}
