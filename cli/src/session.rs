//! The conversation of one command with one node, over the client library: who speaks, whom to, and what the answers and
//! failures mean at the command line.

use std::fs;

use futures::{Stream, StreamExt};
use interstice_abi::{
    failure::{Code, Failure},
    fingerprint::Fingerprint,
    id::{NodeId, Position, Seq},
    schema::ModuleSchema,
    wire::{
        Ack, Called, DeployOptions, DeployPlan, DeployReport, GrantChange, GrantEntry, GrantTarget,
        HistoryCursor, HistoryOrder, HistoryPage, LogLine, LogsMode, ModuleStatus, NodeStatus,
        RowFilter, RowsPage, Standing, TableAt,
    },
};
use interstice_client::{Client, ConnectOptions, Error, Followed, Identity, Subscription};

use crate::{
    app::App,
    home::Home,
    problem::{Outcome, Problem},
    target::Target,
};

/// A connection to a node.
#[derive(Debug)]
pub struct Session {
    label: String,
    /// Who this command line is to the node.
    own: NodeId,
    client: Client,
}

/// Answers that come one after the other.
#[derive(Debug)]
pub struct Answers<T> {
    label: String,
    inner: Subscription<T>,
}

/// The id of this command line's own key, which is made when there is none.
///
/// # Errors
/// When the key's file cannot be made or read.
pub fn own_id(home: &Home) -> Outcome<NodeId> {
    identity(home).map(|identity| identity.id().clone())
}

fn identity(home: &Home) -> Outcome<Identity> {
    home.make()?;
    Identity::load_or_create(&home.key()).map_err(Problem::failed)
}

/// The key that a command speaks with: a home that cannot be written keeps nobody from asking.
fn identity_of_command(app: &App) -> Outcome<Identity> {
    match identity(&app.home) {
        Err(problem) if matches!(fs::exists(app.home.key()), Ok(false)) => {
            app.output.warn(format!(
                "{problem}; this command speaks with a key that is not kept"
            ));
            Ok(Identity::generate())
        }
        identity => identity,
    }
}

impl Session {
    /// Connects to the node that `word`, `--node` or the environment names, or to the only local one that runs.
    ///
    /// # Errors
    /// When no such node is known or reachable.
    pub async fn open(app: &App, word: Option<&str>) -> Outcome<Self> {
        Self::to(app, &Target::chosen(app, word)?).await
    }

    /// As [`Session::open`], to give orders: only to a node whose id is known.
    ///
    /// # Errors
    /// As [`Session::open`], and when the id is not known or the node does not obey this command line.
    pub async fn open_as_owner(app: &App, word: Option<&str>) -> Outcome<Self> {
        let target = Target::chosen(app, word)?;
        target.pinned()?;
        let session = Self::to(app, &target).await?;
        if session.client.welcome().standing == Standing::Owner {
            return Ok(session);
        }
        // Said before anything is built or asked: the node would refuse each order.
        Err(Failure::new(
            Code::Denied,
            format!(
                "only owners of the node {} may do this; key {} is not among the `owners` of its node.toml",
                session.label, session.own
            ),
        )
        .into())
    }

    /// Connects to `target`.
    ///
    /// # Errors
    /// When it cannot be reached, or is another node than it must be.
    pub async fn to(app: &App, target: &Target) -> Outcome<Self> {
        let identity = identity_of_command(app)?;
        let address = match &target.id {
            Some(id) => target.address.clone().pinned(id).map_err(Problem::failed)?,
            None => target.address.clone(),
        };
        let options = ConnectOptions {
            agent: concat!(env!("CARGO_PKG_NAME"), " ", env!("CARGO_PKG_VERSION")).to_string(),
            ..ConnectOptions::default()
        };
        let client = Client::connect(&identity, &address, &options)
            .await
            .map_err(|error| problem(&target.label, error))?;
        Ok(Self {
            label: target.label.clone(),
            own: identity.id().clone(),
            client,
        })
    }

    /// What the node is called here.
    #[must_use]
    pub fn label(&self) -> &str {
        &self.label
    }

    /// The id that the node has proved.
    #[must_use]
    pub fn node(&self) -> &NodeId {
        self.client.node()
    }

    /// Whether the node obeys this command line.
    #[must_use]
    pub fn is_owner(&self) -> bool {
        self.client.welcome().standing == Standing::Owner
    }

    /// The connection itself, for conversations of many requests.
    #[must_use]
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// What an error of the connection means at the command line.
    #[must_use]
    pub fn problem(&self, error: Error) -> Problem {
        problem(&self.label, error)
    }

    fn said<T>(&self, result: Result<T, Error>) -> Outcome<T> {
        result.map_err(|error| problem(&self.label, error))
    }

    /// There and back.
    ///
    /// # Errors
    /// When the connection is lost.
    pub async fn ping(&self) -> Outcome<()> {
        self.said(self.client.ping().await).map(drop)
    }

    /// A module's schema.
    ///
    /// # Errors
    /// When there is no such module, or it is not for this asker.
    pub async fn schema(&self, module: &str) -> Outcome<ModuleSchema> {
        self.said(self.client.schema(module).await)
    }

    /// Runs a reducer, unless its signature is not the one by which the arguments were encoded.
    ///
    /// # Errors
    /// What the module or the node says.
    pub async fn call(
        &self,
        named: (&str, &str),
        arguments: Vec<u8>,
        signature: Fingerprint,
        ack: Ack,
    ) -> Outcome<Called> {
        let called = self.client.call_as(named, arguments, signature, ack);
        self.said(called.await)
    }

    /// Asks a query, unless its signature is not the one by which the arguments were encoded; the
    /// result's encoding.
    ///
    /// # Errors
    /// What the module or the node says.
    pub async fn query(
        &self,
        named: (&str, &str),
        arguments: Vec<u8>,
        signature: Fingerprint,
        ack: Ack,
    ) -> Outcome<Vec<u8>> {
        let value = self.client.query_as(named, arguments, signature, ack);
        self.said(value.await).map(|(bytes, _)| bytes)
    }

    /// A page of rows, all pages of a reading of one turn, unless rows are of another type.
    ///
    /// # Errors
    /// When there is no such table, or it is not for this asker.
    pub async fn rows(
        &self,
        named: (&str, &str),
        after: Option<Vec<u8>>,
        limit: u32,
        filter: Option<RowFilter>,
        row_type: Fingerprint,
    ) -> Outcome<RowsPage> {
        let page = self.client.rows_as(named, after, limit, filter, row_type);
        self.said(page.await)
    }

    /// A page of a module's turns.
    ///
    /// # Errors
    /// When there is no such module or turn, or the asker is no owner.
    pub async fn history(
        &self,
        module: &str,
        from: Option<HistoryCursor>,
        order: HistoryOrder,
        limit: u32,
    ) -> Outcome<HistoryPage> {
        self.said(self.client.history(module, from, order, limit).await)
    }

    /// A table as it was.
    ///
    /// # Errors
    /// When the connection is lost.
    pub fn rows_at(
        &self,
        (module, table): (&str, &str),
        at: Seq,
        limit: u64,
        filter: Option<RowFilter>,
    ) -> Outcome<Answers<TableAt>> {
        let inner = self.said(self.client.rows_at(module, table, at, limit, filter))?;
        Ok(self.answers(inner))
    }

    /// A table's rows, then its changes, with the schemas by which they are to be decoded.
    pub fn follow(
        &self,
        module: &str,
        table: &str,
        from: Option<Position>,
    ) -> impl Stream<Item = Outcome<Followed>> + Unpin + use<> {
        let label = self.label.clone();
        let followed = self.client.follow(module, table, from);
        followed.map(move |next| next.map_err(|error| problem(&label, error)))
    }

    /// Lines of the log.
    ///
    /// # Errors
    /// When the asker is no owner.
    pub fn logs(
        &self,
        module: Option<&str>,
        tail: u32,
        after: Option<u64>,
        mode: LogsMode,
    ) -> Outcome<Answers<Vec<LogLine>>> {
        let lines = match after {
            Some(after) => self.client.logs_after(module, after, mode),
            None => self.client.logs(module, tail, mode),
        };
        let inner = self.said(lines)?;
        Ok(self.answers(inner))
    }

    fn answers<T>(&self, inner: Subscription<T>) -> Answers<T> {
        Answers {
            label: self.label.clone(),
            inner,
        }
    }

    /// What the node is and how it does.
    ///
    /// # Errors
    /// When the connection is lost.
    pub async fn status(&self) -> Outcome<NodeStatus> {
        self.said(self.client.node_status().await)
    }

    /// The modules that this asker may see.
    ///
    /// # Errors
    /// When the connection is lost.
    pub async fn modules(&self) -> Outcome<Vec<ModuleStatus>> {
        self.said(self.client.module_status(None).await)
    }

    /// One module.
    ///
    /// # Errors
    /// When there is none of this name.
    pub async fn module(&self, name: &str) -> Outcome<ModuleStatus> {
        let found = match self.client.module_status(Some(name)).await {
            Err(Error::Failed(failure)) if failure.code == Code::NotFound => None,
            result => self.said(result)?.into_iter().next(),
        };
        if let Some(status) = found {
            return Ok(status);
        }
        let all = self.modules().await?;
        let names = all.iter().map(|module| module.name.as_str());
        Err(Failure::not_found("module", name, names).into())
    }

    /// Uploads and installs a module. `progress` hears how many bytes have arrived.
    ///
    /// # Errors
    /// What is wrong with the module, or does not fit; nothing has changed then.
    pub async fn deploy(
        &self,
        wasm: &[u8],
        options: DeployOptions,
        mut progress: impl FnMut(u64) + Send,
    ) -> Outcome<DeployReport> {
        self.said(
            self.client
                .deploy(wasm, options, |done| progress(done.sent))
                .await,
        )
    }

    /// Installs or upgrades modules together: all of them or none.
    ///
    /// # Errors
    /// What is wrong with a module, or does not fit; nothing has changed then.
    pub async fn deploy_all(
        &self,
        wasms: &[&[u8]],
        options: DeployOptions,
        mut progress: impl FnMut(u64) + Send,
    ) -> Outcome<Vec<DeployReport>> {
        self.said(
            self.client
                .deploy_all(wasms, options, |done| progress(done.sent))
                .await,
        )
    }

    /// What a deploy of these modules would do.
    ///
    /// # Errors
    /// What is wrong with a module.
    pub async fn plan(
        &self,
        wasms: &[&[u8]],
        options: DeployOptions,
        mut progress: impl FnMut(u64) + Send,
    ) -> Outcome<DeployPlan> {
        self.said(
            self.client
                .plan(wasms, options, |done| progress(done.sent))
                .await,
        )
    }

    /// Starts a module.
    ///
    /// # Errors
    /// What the node says.
    pub async fn load(&self, module: &str) -> Outcome<()> {
        self.said(self.client.load(module).await)
    }

    /// Stops a module.
    ///
    /// # Errors
    /// What the node says.
    pub async fn unload(&self, module: &str) -> Outcome<()> {
        self.said(self.client.unload(module).await)
    }

    /// Stops a module although running ones need it.
    ///
    /// # Errors
    /// What the node says.
    pub async fn unload_needed(&self, module: &str) -> Outcome<()> {
        self.said(self.client.unload_needed(module).await)
    }

    /// Uninstalls a module and deletes its data.
    ///
    /// # Errors
    /// What the node says.
    pub async fn remove(&self, module: &str) -> Outcome<()> {
        self.said(self.client.remove(module).await)
    }

    /// What a module may do.
    ///
    /// # Errors
    /// What the node says.
    pub async fn grants(&self, module: &str) -> Outcome<Vec<GrantEntry>> {
        self.said(self.client.grants(module).await)
    }

    /// Changes what a module may do, from the returned turn on.
    ///
    /// # Errors
    /// What the node says.
    pub async fn change_grant(
        &self,
        module: &str,
        target: GrantTarget,
        change: GrantChange,
    ) -> Outcome<Seq> {
        self.said(self.client.change_grant(module, target, change).await)
    }

    /// Asks the node to drain and stop.
    ///
    /// # Errors
    /// What the node says.
    pub async fn stop(&self) -> Outcome<()> {
        self.said(self.client.stop().await)
    }
}

impl<T> Answers<T>
where
    Subscription<T>: Stream<Item = Result<T, Error>> + Unpin,
{
    /// The next answer; `None` when the node has ended them.
    ///
    /// # Errors
    /// When the node ends them with a failure, or the connection is lost.
    pub async fn next(&mut self) -> Outcome<Option<T>> {
        self.inner
            .next()
            .await
            .transpose()
            .map_err(|error| problem(&self.label, error))
    }
}

/// What a failed conversation means at the command line.
fn problem(label: &str, error: Error) -> Problem {
    match error {
        Error::Failed(failure) => failure.into(),
        error @ Error::Unreachable { .. } => Problem::unreachable(format!("node {label}: {error}"))
            .advise("is it running? `up` or `node start` starts one of this machine"),
        error @ (Error::Lost { .. } | Error::OutcomeUnknown { .. }) => {
            Problem::unreachable(format!("node {label}: {error}"))
        }
        error => Problem::failed(format!("node {label}: {error}")),
    }
}
