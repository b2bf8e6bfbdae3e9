//! What a deploy needs that takes long, done before it has the node to itself.
//!
//! Binaries are compiled (`install/compiling.rs`), and stored and synced under their hashes; rows
//! get the columns that come, and indexes that come are filled.

use std::{sync::Arc, time::Duration};

use actix::prelude::{AsyncContext, Context};
use interstice_abi::{schema::ModuleSchema, wire::DeployOptions};
use interstice_host::table::{Prepared, Tables};
use tokio::sync::oneshot;

use super::Install;
use crate::{
    module::Order,
    supervisor::{
        Supervisor,
        catalogue::Catalogue,
        change::{Asker, Change, TakeChange},
    },
};

/// What is asked for with uploaded modules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::supervisor) enum DeployOrder {
    /// To install a module.
    One,
    /// To install all of them together.
    Together,
    /// To say what that would do.
    Plan,
}

/// How long a deploy waits until the module that it replaces can be looked at, which it can
/// between two pieces of its work.
const LOOK_PATIENCE: Duration = Duration::from_secs(1);

impl Supervisor {
    /// Prepares uploaded binaries beside the node, then lets the deploy of all of them wait for
    /// its turn.
    pub(in crate::supervisor) fn prepare_deploy(
        &mut self,
        wasms: Vec<Vec<u8>>,
        options: DeployOptions,
        order: DeployOrder,
        asker: Asker,
        ctx: &mut Context<Self>,
    ) {
        if let Err(failure) = self.refuses() {
            asker.tell(Err(failure));
            return;
        }
        let installer = self.installer.clone();
        let limits = self.config.limits.clone();
        let catalogue = self.catalogue.clone();
        let supervisor = ctx.address();
        actix::spawn(async move {
            let mut installs = Vec::new();
            for wasm in wasms {
                let limits = limits.clone();
                let prepared = match order {
                    // What is only planned is not stored.
                    DeployOrder::Plan => {
                        let binary = installer.compile(wasm.into(), limits).await;
                        binary.map(|binary| (binary, None))
                    }
                    DeployOrder::One | DeployOrder::Together => {
                        let prepared = installer.prepare(wasm, limits).await;
                        prepared.map(|(binary, stored)| (binary, Some(stored)))
                    }
                };
                let (binary, stored) = match prepared {
                    Ok(prepared) => prepared,
                    Err(failure) => return asker.tell(Err(failure)),
                };
                let data = data_of(&catalogue, &binary.schema).await;
                installs.push(Install {
                    binary,
                    _stored: stored,
                    options,
                    data,
                });
            }
            let change = match (order, installs.len()) {
                (DeployOrder::Plan, _) => Change::Plan(installs),
                (DeployOrder::One, 1) => installs
                    .pop()
                    .map_or(Change::InstallAll(Vec::new()), |install| {
                        Change::Install(Box::new(install))
                    }),
                _ => Change::InstallAll(installs),
            };
            supervisor.do_send(TakeChange(change, asker));
        });
    }
}

/// What can be done of moving the data of the running module to `new` before the upgrade has the
/// node to itself.
async fn data_of(catalogue: &Catalogue, new: &Arc<ModuleSchema>) -> Prepared {
    let entry = catalogue.index_of(&new.name);
    let Some(entry) = entry.and_then(|index| catalogue.entry(index)) else {
        return Prepared::default();
    };
    let (reply, preparing) = oneshot::channel();
    let schema = new.clone();
    let look = move |tables: &Tables| {
        // The deploy waits below.
        let _ = reply.send(tables.preparing(&schema));
    };
    let order = Order::Look(Box::new(look));
    entry.installed.address.do_send(order);
    // What is not prepared is done with the upgrade, which ends the query that the module runs.
    match tokio::time::timeout(LOOK_PATIENCE, preparing).await {
        Ok(Ok(preparing)) if !preparing.is_empty() => {
            let prepared = tokio::task::spawn_blocking(move || preparing.run()).await;
            prepared.unwrap_or_default()
        }
        _ => Prepared::default(),
    }
}
