//! The owner: deploys the same versions again, installs, upgrades and removes `echo`, unloads and
//! loads the ledger, revokes and grants, one order after the other, until the node is gone. What
//! was ordered stands in [`Orders`].

use std::{sync::Arc, time::Duration};

use interstice_abi::{
    failure::Code,
    wire::{DeployOptions, GrantChange, GrantTarget},
};
use interstice_client::{Client, Error};

use crate::{book::Orders, modules::Modules, random::Random};

/// The owner in one round.
pub(crate) struct Owner {
    client: Client,
    modules: Modules,
    orders: Orders,
    random: Random,
}

/// How an order ended.
enum End {
    Sure,
    Open,
    Refused,
}

impl Owner {
    pub(crate) fn new(client: Client, modules: Modules, orders: Orders, random: Random) -> Self {
        Self {
            client,
            modules,
            orders,
            random,
        }
    }

    pub(crate) async fn run(mut self) -> Orders {
        loop {
            let pause = Duration::from_millis(self.random.below(60));
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = self.client.lost() => return self.orders,
            }
            match self.random.below(6) {
                0 => {
                    self.orders.ledger_deploys += 1;
                    let end = self.deploy(&self.modules.ledger.clone()).await;
                    self.load_was_ordered(&end);
                }
                1 => {
                    self.deploy(&self.modules.vault.clone()).await;
                }
                2 => {
                    self.orders.mirror_deploys += 1;
                    self.deploy(&self.modules.mirror.clone()).await;
                }
                3 => self.change_echo().await,
                4 => self.change_ledger().await,
                _ => self.change_grant().await,
            }
        }
    }

    async fn deploy(&mut self, wasm: &Arc<[u8]>) -> End {
        let options = DeployOptions::default();
        let deployed = self.client.deploy(wasm, options, |_| {}).await;
        if let Ok(report) = &deployed {
            assert_eq!(report.load_failure, None, "{}", report.module);
            self.orders.last_seq = self.orders.last_seq.max(report.seq.0);
        }
        end(deployed)
    }

    fn load_was_ordered(&mut self, end: &End) {
        match end {
            End::Sure => {
                self.orders.loads.0 += 1;
                self.orders.ledger_runs.sure(true);
            }
            End::Open => {
                self.orders.loads.1 += 1;
                self.orders.ledger_runs.open(true);
            }
            End::Refused => {}
        }
    }

    /// Nothing, the first version, the second, nothing again; or straight from the first to
    /// nothing.
    async fn change_echo(&mut self) {
        let (next, ended) = match (*self.orders.echo.last(), self.random.below(4)) {
            (None, _) => (Some(1), self.deploy(&self.modules.echo.clone()).await),
            (Some(1), 1..4) => (Some(2), self.deploy(&self.modules.echo_2.clone()).await),
            _ => (None, end(self.client.remove("echo").await)),
        };
        match ended {
            End::Sure => self.orders.echo.sure(next),
            End::Open => self.orders.echo.open(next),
            End::Refused => {}
        }
    }

    async fn change_ledger(&mut self) {
        if *self.orders.ledger_runs.last() {
            match end(self.client.unload_needed("ledger").await) {
                End::Sure => self.orders.ledger_runs.sure(false),
                End::Open => self.orders.ledger_runs.open(false),
                End::Refused => {}
            }
        } else {
            let end = end(self.client.load("ledger").await);
            self.load_was_ordered(&end);
        }
    }

    async fn change_grant(&mut self) {
        let wanted = !*self.orders.vault_logs.last();
        let change = if wanted {
            GrantChange::Grant
        } else {
            GrantChange::Revoke
        };
        let changed = self
            .client
            .change_grant("vault", GrantTarget::Logging, change)
            .await;
        if let Ok(seq) = &changed {
            self.orders.last_seq = self.orders.last_seq.max(seq.0);
        }
        match end(changed) {
            End::Sure => self.orders.vault_logs.sure(wanted),
            End::Open => self.orders.vault_logs.open(wanted),
            End::Refused => {}
        }
    }
}

fn end<T>(answer: Result<T, Error>) -> End {
    match answer {
        Ok(_) => End::Sure,
        Err(Error::OutcomeUnknown { .. }) => End::Open,
        Err(Error::Lost { .. }) => End::Refused,
        // The node stops.
        Err(Error::Failed(failure)) if failure.code == Code::Unavailable => End::Open,
        Err(error) => unreachable!("an order: {error}"),
    }
}
