//! How the node and its modules do, for whoever asks; and the order to stop.

use actix::prelude::{AsyncContext, Context};
use interstice_abi::{
    failure::Failure,
    schema::{TableSchema, Visibility},
    wire::{ModuleStatus, NodeStatus, Response, ResponseBody, Standing, TableStatus},
};
use interstice_host::table::Hashing;
use tokio::sync::oneshot;

use super::{Drain, Supervisor, catalogue::Entry};
use crate::{
    ingress::{Peer, Replies},
    module::{
        Order,
        core::{Statistics, StatisticsDepth},
        home::ModuleAddress,
    },
    version,
};

impl Supervisor {
    /// The node at this moment.
    pub(crate) fn node_status(&self) -> NodeStatus {
        let uptime = self.about.started.elapsed().as_millis();
        NodeStatus {
            node: self.shared.id.clone(),
            name: self.about.name.clone(),
            version: version(),
            addresses: self.about.addresses.clone(),
            epoch: self.shared.epoch,
            seq: self.stamper.last_seq(),
            uptime_ms: u64::try_from(uptime).unwrap_or(u64::MAX),
            connections: u32::try_from(self.connections.len()).unwrap_or(u32::MAX),
            turns: self.turns_ended,
            committed: self.turns_committed,
            turns_in_flight: self.admission.in_flight(),
            memory_bytes: resident_bytes(),
            log_bytes: directory_bytes(&self.about.log_directory),
            sync_us: self.shared.log.last_sync_us(),
            modules: u32::try_from(self.catalogue.entries().count()).unwrap_or(u32::MAX),
            poisoned: self.refuses().err().map(|failure| failure.message),
        }
    }

    /// Asks every module that the peer may see, and answers when all have told.
    pub(crate) fn module_status(
        &self,
        peer: &Peer,
        module: Option<&str>,
        replies: Replies,
        request: u64,
    ) -> Result<(), Failure> {
        let only = module.map(|name| self.catalogue.find(name)).transpose()?;
        let is_owner = peer.standing == Standing::Owner;
        let depth = if is_owner {
            StatisticsDepth::WithDigest
        } else {
            StatisticsDepth::Counts
        };
        let mut asked = Vec::new();
        for (index, entry) in self.catalogue.entries() {
            let visible = is_owner || entry.installed.schema.visibility == Visibility::Public;
            if !visible || only.is_some_and(|only| only != index) {
                continue;
            }
            let (reply, answer) = oneshot::channel();
            entry
                .installed
                .address
                .do_send(Order::Statistics(depth, reply));
            asked.push((
                status_without_counts(entry),
                entry.installed.schema.tables.clone(),
                entry.installed.address.clone(),
                answer,
            ));
        }
        let work = async move {
            let mut modules = Vec::new();
            for (mut status, tables, address, answer) in asked {
                // A module that goes meanwhile is no longer there to tell of.
                if let Ok(mut statistics) = answer.await {
                    if let Some(hashing) = statistics.digest.take().filter(|_| is_owner) {
                        status.digest = digest(hashing, &address).await;
                    }
                    fill(&mut status, &tables, statistics, is_owner);
                    modules.push(status);
                }
            }
            replies.send(Response {
                id: request,
                body: Ok(ResponseBody::Modules(modules)),
            });
        };
        actix::spawn(work);
        Ok(())
    }

    /// An owner stops the node: answered once nothing new is taken.
    pub(crate) fn stop_requested(
        &mut self,
        replies: Replies,
        request: u64,
        ctx: &mut Context<Self>,
    ) {
        let stop = self.stop.clone();
        let (done, drained) = oneshot::channel();
        ctx.address().do_send(Drain(done));
        replies.send(Response {
            id: request,
            body: Ok(ResponseBody::Done),
        });
        // Not in this actor's context, which ends with the drain.
        actix::spawn(async move {
            drop(drained.await);
            stop.stop();
        });
    }
}

fn status_without_counts(entry: &Entry) -> ModuleStatus {
    let installed = &entry.installed;
    ModuleStatus {
        name: installed.schema.name.clone(),
        version: installed.schema.version,
        state: installed.state.clone(),
        visibility: installed.schema.visibility,
        hash: installed.hash,
        tables: Vec::new(),
        counters: Default::default(),
        queue_depth: 0,
        last_fault: None,
        digest: None,
    }
}

fn fill(status: &mut ModuleStatus, tables: &[TableSchema], statistics: Statistics, is_owner: bool) {
    status.counters = statistics.counters;
    status.queue_depth = statistics.queue_depth;
    if is_owner {
        status.last_fault = statistics.last_fault;
    }
    for counted in statistics.tables {
        let Some(table) = tables.iter().find(|table| table.name == counted.name) else {
            continue;
        };
        if is_owner || table.visibility == Visibility::Public {
            status.tables.push(TableStatus {
                name: counted.name,
                visibility: table.visibility,
                persistence: table.persistence,
                rows: counted.rows,
                bytes: counted.bytes,
            });
        }
    }
}

/// Hashes pages on a thread where nobody waits for it, and lets the module remember them. `None` when that thread has panicked.
async fn digest(hashing: Hashing, module: &ModuleAddress) -> Option<[u64; 4]> {
    let hashed = tokio::task::spawn_blocking(|| hashing.finish());
    let (digest, pages) = hashed.await.ok()?;
    module.do_send(Order::Hashed(pages));
    Some(digest.0)
}

/// Resident memory of this process, where the system tells it in `/proc`.
fn resident_bytes() -> u64 {
    let kilobytes = std::fs::read_to_string("/proc/self/status")
        .ok()
        .and_then(|status| {
            let line = status
                .lines()
                .find(|line| line.starts_with("VmRSS:"))?
                .to_string();
            line.split_whitespace().nth(1)?.parse::<u64>().ok()
        });
    kilobytes.unwrap_or(0) * 1024
}

/// Bytes of the files of a folder.
fn directory_bytes(path: &std::path::Path) -> u64 {
    let entries = std::fs::read_dir(path).into_iter().flatten().flatten();
    entries
        .filter_map(|entry| entry.metadata().ok())
        .map(|metadata| metadata.len())
        .sum()
}
