//! Backups over the protocol: written into a file of the node's folder, then fetched piece by
//! piece.
//!
//! So a slow client holds up nothing, and what waits for it is on disk. The file goes when the
//! client has it, when its connection ends, or when the node starts the next time. A backup holds
//! what was stamped before it, so it waits for that, but only for a time: reads and calls that
//! have not begun are refused as before a change of the catalogue, and in the end the backup is.

use std::{
    collections::BTreeMap,
    fmt::Display,
    fs::{self, File},
    io::{self, Read, Seek, SeekFrom},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use actix::prelude::{AsyncContext, Context, Message};
use interstice_abi::{
    failure::{Code, Failure},
    id::Seq,
    wire::{BACKUP_PIECE_BYTES, Response, ResponseBody},
};

use super::{Head, Writer};
use crate::{
    ingress::{ConnectionId, Peer, Replies},
    lines::now_ms,
    module::checkpoint::Passing,
    supervisor::{Supervisor, checkpoint::passing::NotPassed, pressure::Waiting},
};

/// The folder of backups that clients are fetching.
const FOLDER: &str = "backups";

/// Most backups that are being made or fetched: each takes as much of the disk as the node itself.
const BACKUPS_MAX: usize = 2;

/// Backups that are being made or fetched, by number.
#[derive(Default)]
pub(crate) struct Backups {
    open: BTreeMap<u64, Open>,
    last: u64,
    /// Asked for while a checkpoint was being written, which may drop history.
    waiting: Vec<(Arc<Peer>, Replies, u64)>,
}

struct Open {
    connection: u64,
    path: PathBuf,
    state: State,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// Under way.
    Writing,
    /// Under way, for nobody: its client has gone.
    Abandoned,
    /// To be fetched.
    Written,
}

/// The marker of a backup has passed every module, or never will.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct BackupPassed;

/// A backup was written, or not.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct BackupDone {
    number: u64,
    seq: Seq,
    written: Result<u64, Failure>,
    replies: Replies,
    request: u64,
}

impl Backups {
    /// The file of backup `number`, which the client of this connection has asked for.
    fn path(&self, number: u64, connection: u64) -> Result<&Path, Failure> {
        let open = self.open.get(&number);
        open.filter(|open| open.connection == connection && open.state == State::Written)
            .map(|open| open.path.as_path())
            .ok_or_else(|| {
                let text = format!("there is no backup {number} of this connection; ask for one");
                Failure::new(Code::NotFound, text)
            })
    }

    /// A backup that was asked for has waited for too long for what runs before it.
    fn refuse_waiting(&mut self, connection: ConnectionId, request: u64) {
        let is_it = |(peer, _, id): &mut (Arc<Peer>, Replies, u64)| {
            peer.connection == connection && *id == request
        };
        for (_, replies, id) in self.waiting.extract_if(.., is_it) {
            let text = "the backup has waited for as long as it may (backup_wait_ms in node.toml) for a checkpoint that is being written, and nothing was written; try again";
            replies.send(Response {
                id,
                body: Err(Failure::new(Code::Busy, text)),
            });
        }
    }

    /// The client has what it wanted, or its connection has ended.
    pub(crate) fn end(&mut self, connection: u64, number: Option<u64>) {
        if number.is_none() {
            self.waiting
                .retain(|(peer, ..)| peer.connection.0 != connection);
        }
        self.open.retain(|known, open| {
            let ends =
                open.connection == connection && number.is_none_or(|number| number == *known);
            match open.state {
                _ if !ends => true,
                State::Written => {
                    // What cannot be removed goes with the next start.
                    let _ = fs::remove_file(&open.path);
                    false
                }
                // It counts until its writer has ended.
                State::Writing | State::Abandoned => {
                    open.state = State::Abandoned;
                    true
                }
            }
        });
    }
}

/// Why a backup was not begun.
fn not_passed(why: &NotPassed, patience: Duration) -> Failure {
    let waited = patience.as_secs_f64();
    match why {
        NotPassed::Ended(problem) => not_written(problem),
        NotPassed::Late(modules) => {
            let names: Vec<String> = modules.iter().map(|name| format!("`{name}`")).collect();
            let what = if names.is_empty() {
                "the log".to_string()
            } else {
                format!("calls under way in {}", names.join(", "))
            };
            let text = format!(
                "the backup has waited for {waited} s for {what} (backup_wait_ms in node.toml), and nothing was written; \
                 try again when there is less to do, or unload what is busy"
            );
            Failure::new(Code::Busy, text)
        }
    }
}

fn not_written(problem: impl Display) -> Failure {
    let text = format!("the backup could not be written: {problem}");
    Failure::new(Code::Unavailable, text)
}

/// Removes what a process that has ended has left.
pub(crate) fn clean(directory: &Path) -> io::Result<()> {
    match fs::remove_dir_all(directory.join(FOLDER)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

impl Supervisor {
    /// Makes a backup behind every turn that was stamped. Answered when it is written.
    pub(crate) fn start_backup(
        &mut self,
        peer: &Arc<Peer>,
        replies: Replies,
        request: u64,
        ctx: &mut Context<Self>,
    ) -> Result<(), Failure> {
        self.refuses()?;
        if self.backups.open.len() + self.backups.waiting.len() >= BACKUPS_MAX {
            let text = format!(
                "{BACKUPS_MAX} backups are under way, the most at a time; try again when one has ended"
            );
            return Err(Failure::new(Code::Busy, text));
        }
        if self.barrier.is_running() {
            let text = "a module is being installed or removed at this moment; try again";
            return Err(Failure::new(Code::Busy, text));
        }
        if self.checkpoints.is_running() {
            let connection = peer.connection;
            self.backups.waiting.push((peer.clone(), replies, request));
            let patience = Duration::from_millis(self.config.backup_wait_ms);
            ctx.run_later(patience, move |supervisor, _| {
                supervisor.backups.refuse_waiting(connection, request);
            });
            return Ok(());
        }
        self.backups.last += 1;
        let number = self.backups.last;
        let folder = self.installer.directory.path(FOLDER);
        let path = folder.join(format!("{number}.backup"));
        self.backups.open.insert(
            number,
            Open {
                connection: peer.connection.0,
                path: path.clone(),
                state: State::Writing,
            },
        );
        self.checkpoints.hold();
        let seq = self.stamper.last_seq();
        let passed = self.pass(Passing::Backup);
        self.press(Waiting::Backup, ctx);
        let modules = self.catalogue.entries();
        let writer = Writer {
            shared: self.shared.clone(),
            directory: self.installer.directory.clone(),
            bases: self.checkpoints.bases().to_vec(),
            head: Head {
                node: self.shared.id.clone(),
                name: self.config.name.clone(),
                epoch: self.shared.epoch,
                seq,
                timestamp_ms: now_ms(),
                digests: Vec::new(),
            },
            installed: modules.map(|(_, entry)| entry.installed.hash).collect(),
        };
        let supervisor = ctx.address();
        let patience = Duration::from_millis(self.config.backup_wait_ms);
        let work = async move {
            let passed = passed.all_within(patience).await;
            supervisor.do_send(BackupPassed);
            let written = async {
                let (_, frozen) = passed.map_err(|why| not_passed(&why, patience))?;
                let digests = frozen
                    .into_iter()
                    .filter_map(|frozen| Some((frozen.module, frozen.digest?)))
                    .collect();
                writer.shared.synced().await.map_err(not_written)?;
                let writing = tokio::task::spawn_blocking(move || {
                    interstice_host::files::create_private_dir(&folder)
                        .map_err(|error| error.to_string())?;
                    let writer = writer.with_digests(digests);
                    writer.write(&path).map_err(|error| error.to_string())
                });
                let written = writing.await.map_err(|panic| panic.to_string());
                written.flatten().map_err(not_written)
            };
            let written = written.await;
            supervisor.do_send(BackupDone {
                number,
                seq,
                written,
                replies,
                request,
            });
        };
        actix::spawn(work);
        Ok(())
    }

    /// Begins the backups that have waited for a checkpoint.
    pub(crate) fn start_waiting_backups(&mut self, ctx: &mut Context<Self>) {
        for (peer, replies, request) in std::mem::take(&mut self.backups.waiting) {
            if let Err(failure) = self.start_backup(&peer, replies.clone(), request, ctx) {
                replies.send(Response {
                    id: request,
                    body: Err(failure),
                });
            }
        }
    }

    /// A backup was written, or not.
    pub(crate) fn finish_backup(&mut self, done: BackupDone) {
        self.checkpoints.release();
        let number = done.number;
        let open = self.backups.open.get_mut(&number);
        let abandoned = open.is_none_or(|open| {
            let abandoned = open.state == State::Abandoned;
            open.state = State::Written;
            abandoned
        });
        if (abandoned || done.written.is_err())
            && let Some(open) = self.backups.open.remove(&number)
        {
            // A failed one has left nothing; what cannot be removed goes with the next start.
            let _ = fs::remove_file(open.path);
        }
        let body = match done.written {
            Ok(bytes) => Ok(ResponseBody::Backup {
                number,
                bytes,
                seq: done.seq,
            }),
            Err(failure) => {
                self.shared.lines.warn(None, None, &failure.message);
                Err(failure)
            }
        };
        done.replies.send(Response {
            id: done.request,
            body,
        });
    }

    /// Reads a piece of a backup for its client.
    pub(crate) fn backup_piece(
        &self,
        peer: &Peer,
        number: u64,
        offset: u64,
        replies: Replies,
        request: u64,
    ) -> Result<(), Failure> {
        let path = self.backups.path(number, peer.connection.0)?.to_owned();
        // Detached: it ends when the piece is sent.
        drop(tokio::task::spawn_blocking(move || {
            let body = match piece(&path, offset) {
                Ok(bytes) => Ok(ResponseBody::Piece { bytes }),
                Err(error) => {
                    let text = format!("the backup cannot be read: {error}");
                    Err(Failure::new(Code::Unavailable, text))
                }
            };
            replies.send(Response { id: request, body });
        }));
        Ok(())
    }
}

fn piece(path: &Path, offset: u64) -> io::Result<Vec<u8>> {
    let mut file = File::open(path)?;
    file.seek(SeekFrom::Start(offset))?;
    let mut bytes = Vec::new();
    let limit = u64::try_from(BACKUP_PIECE_BYTES).unwrap_or(u64::MAX);
    file.take(limit).read_to_end(&mut bytes)?;
    Ok(bytes)
}
