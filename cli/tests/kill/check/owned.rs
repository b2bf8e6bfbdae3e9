//! What the owner has ordered holds, or is as if it had not been ordered.

use interstice_abi::wire::{GrantTarget, ModuleState};
use interstice_client::Client;

use crate::book::Book;

/// What is installed, what runs and what is granted. Starts the ledger where it does not run.
pub(super) async fn orders(client: &Client, book: &mut Book) {
    let modules = client.module_status(None).await.expect("the node tells");
    let echo = modules.iter().find(|module| module.name.as_str() == "echo");
    let echo = echo.map(|module| if module.version.minor == 1 { 1 } else { 2 });
    book.orders.echo.settle("the version of echo", echo);
    for module in &modules {
        let (name, state) = (module.name.as_str(), &module.state);
        if name == "ledger" {
            let runs = *state == ModuleState::Loaded;
            book.orders
                .ledger_runs
                .settle("whether the ledger runs", runs);
            if !runs {
                assert_eq!(*state, ModuleState::Unloaded);
                client.load("ledger").await.expect("the ledger starts");
                book.orders.ledger_runs.sure(true);
            }
        } else {
            assert_eq!(*state, ModuleState::Loaded, "{name}");
        }
    }
    let grants = client.grants("vault").await.expect("the node tells");
    let logs = grants
        .iter()
        .any(|grant| grant.target == GrantTarget::Logging && grant.revoked.is_none());
    book.orders
        .vault_logs
        .settle("whether the vault may log", logs);
}
