//! Which node is meant: by a registered name, an id, an address, or not at all where only one
//! local node runs.

use std::{
    net::{TcpStream, ToSocketAddrs},
    path::PathBuf,
    time::Duration,
};

use interstice_abi::id::NodeId;
use interstice_client::Target as Address;

use crate::{
    address::{is_address, same_place},
    app::App,
    node_process,
    problem::{Outcome, Problem},
    registry::{Entry, Registry},
};

/// How long a local node may take to accept a connection before it counts as not running. Refusals
/// come at once.
const LOCAL_CONNECT_TIME: Duration = Duration::from_millis(500);

/// A node that can be spoken to.
#[derive(Clone, Debug)]
pub struct Target {
    /// What to call it in messages.
    pub label: String,
    /// Where it is.
    pub address: Address,
    /// Which one it must be; `None` when nobody has said so.
    pub id: Option<NodeId>,
    /// Its folder, when it is a node of this machine and user.
    pub folder: Option<PathBuf>,
}

impl Target {
    fn of(app: &App, entry: &Entry) -> Outcome<Self> {
        Ok(Self {
            label: entry.name.clone(),
            address: entry.address.parse().map_err(Problem::failed)?,
            id: Some(NodeId::from(entry.id.clone())),
            folder: Some(app.home.node(&entry.id)).filter(|folder| folder.is_dir()),
        })
    }

    /// The node that `word` names.
    ///
    /// # Errors
    /// When nothing is called so.
    pub fn named(app: &App, word: &str) -> Outcome<Self> {
        let registry = Registry::read(&app.home)?;
        if let Some(entry) = registry.find(word) {
            return Self::of(app, entry);
        }
        if !is_address(word) {
            return Err(registry.unknown(word));
        }
        let address: Address = word.parse().map_err(Problem::usage)?;
        let same = |entry: &&Entry| {
            entry
                .address
                .parse::<Address>()
                .is_ok_and(|known| same_place(&known, &address))
                && address.pin().is_none_or(|id| id.as_str() == entry.id)
        };
        match registry.nodes().iter().find(same) {
            Some(entry) => Self::of(app, entry),
            None => Ok(Self {
                label: word.to_string(),
                id: address.pin(),
                address,
                folder: None,
            }),
        }
    }

    /// The node that `word`, `--node` or the environment names, or else the only local one that
    /// runs.
    ///
    /// # Errors
    /// When nothing is called so, or none or several run.
    pub fn chosen(app: &App, word: Option<&str>) -> Outcome<Self> {
        match word.map_or_else(|| app.node(), |word| Ok(Some(word)))? {
            Some(word) => Self::named(app, word),
            None => Self::only_local(app),
        }
    }

    fn only_local(app: &App) -> Outcome<Self> {
        let registry = Registry::read(&app.home)?;
        let all = registry
            .nodes()
            .iter()
            .map(|entry| Self::of(app, entry))
            .collect::<Outcome<Vec<Self>>>()?;
        let mut running: Vec<Self> = all.into_iter().filter(Self::is_running).collect();
        match (running.pop(), running.as_slice()) {
            (Some(node), []) => Ok(node),
            (None, _) => Err(Problem::unreachable("no node of this machine is running")
                .advise("`up` starts one; --node or INTERSTICE_NODE names one elsewhere")),
            (Some(last), others) => {
                let names: Vec<&str> = others
                    .iter()
                    .chain([&last])
                    .map(|node| node.label.as_str())
                    .collect();
                Err(
                    Problem::usage(format!("several nodes are running: {}", names.join(", ")))
                        .advise("name one with --node or INTERSTICE_NODE"),
                )
            }
        }
    }

    /// Whether this is a node of this machine whose process lives. Somebody else may listen at its
    /// address while it does not.
    fn is_running(&self) -> bool {
        let is_locked = |folder: &PathBuf| node_process::is_locked(folder);
        self.accepts() && self.folder.as_ref().is_some_and(is_locked)
    }

    /// Whether something listens at the node's address.
    #[must_use]
    pub fn accepts(&self) -> bool {
        let Ok(addresses) = (self.address.host(), self.address.port()).to_socket_addrs() else {
            return false;
        };
        addresses
            .into_iter()
            .any(|address| TcpStream::connect_timeout(&address, LOCAL_CONNECT_TIME).is_ok())
    }

    /// The id, for commands of owners: an order must not go to whoever happens to listen at an
    /// address.
    ///
    /// # Errors
    /// When nobody has said which node it must be.
    pub fn pinned(&self) -> Outcome<&NodeId> {
        self.id.as_ref().ok_or_else(|| {
            Problem::failed(format!(
                "it is not known which node should answer at {}, so it is given no orders",
                self.label
            ))
            .advise(format!(
                "`node add NAME {}` notes its id; an address may also end in /p2p/ID",
                self.label
            ))
        })
    }
}
