//! A client of a node, for guests whose rows, arguments and results are all `u64`. Every wait has
//! a deadline, so that a promise that is not kept is a failure with a place and not a test that
//! hangs.

use std::{future::Future, time::Duration};

use futures::StreamExt;
use interstice_abi::{
    codec::{Column, Input},
    failure::{Code, Failure},
    fingerprint::Fingerprint,
    id::{Position, Seq},
    schema::ModuleSchema,
    wire::{
        Ack, Called, DeployOptions, DeployPlan, DeployReport, HistoryCursor, HistoryOrder,
        HistoryPage, LogLine, LogsMode, ModuleStatus, NodeStatus, OnConflict, RequestBody,
        RowFilter, TableAt, WatchEvent, WatchedChange,
    },
};
use interstice_client::{Client, ConnectOptions, Error, Identity, Target, Watch};

use super::guest::GuestModule;

/// Longer than anything takes on a machine under load.
const DEADLINE: Duration = Duration::from_secs(60);

/// Rows per page.
const PAGE: u32 = 1000;

/// One connection.
pub(crate) struct Peer {
    client: Client,
}

/// A call to be sent.
#[derive(Clone, Debug)]
pub(crate) struct Order {
    module: String,
    reducer: String,
    arguments: Vec<u64>,
}

impl Order {
    pub(crate) fn new(module: &str, reducer: &str, arguments: &[u64]) -> Self {
        Self {
            module: module.into(),
            reducer: reducer.into(),
            arguments: arguments.into(),
        }
    }
}

impl Peer {
    /// The connection itself.
    pub(crate) fn client(&self) -> &Client {
        &self.client
    }

    pub(crate) async fn connect(address: &str, identity: &Identity) -> Self {
        let target: Target = address.parse().expect("an address");
        let client = within(Client::connect(
            identity,
            &target,
            &ConnectOptions::default(),
        ))
        .await;
        Self {
            client: client.expect("the node answers"),
        }
    }

    pub(crate) async fn deploy(
        &self,
        module: &GuestModule,
        on_conflict: OnConflict,
    ) -> Result<DeployReport, Failure> {
        let wasm = module.wasm();
        within(
            self.client
                .deploy(&wasm, DeployOptions { on_conflict }, |_| {}),
        )
        .await
        .map_err(failure)
    }

    /// A deploy of whatever bytes.
    pub(crate) async fn upload(&self, wasm: &[u8]) -> Result<DeployReport, Failure> {
        within(self.client.deploy(wasm, DeployOptions::default(), |_| {}))
            .await
            .map_err(failure)
    }

    /// A deploy that must not be refused.
    pub(crate) async fn install(&self, module: &GuestModule) -> DeployReport {
        let deployed = self.deploy(module, OnConflict::Refuse).await;
        deployed.unwrap_or_else(|failure| {
            unreachable!("module `{}` is refused: {failure}", module.name)
        })
    }

    /// A deploy of several modules together.
    pub(crate) async fn deploy_all(
        &self,
        modules: &[GuestModule],
    ) -> Result<Vec<DeployReport>, Failure> {
        let wasms: Vec<Vec<u8>> = modules.iter().map(GuestModule::wasm).collect();
        let wasms: Vec<&[u8]> = wasms.iter().map(Vec::as_slice).collect();
        let options = DeployOptions::default();
        within(self.client.deploy_all(&wasms, options, |_| {}))
            .await
            .map_err(failure)
    }

    /// What a deploy of these modules would do.
    pub(crate) async fn plan(
        &self,
        modules: &[GuestModule],
        on_conflict: OnConflict,
    ) -> Result<DeployPlan, Failure> {
        let wasms: Vec<Vec<u8>> = modules.iter().map(GuestModule::wasm).collect();
        let wasms: Vec<&[u8]> = wasms.iter().map(Vec::as_slice).collect();
        let options = DeployOptions { on_conflict };
        within(self.client.plan(&wasms, options, |_| {}))
            .await
            .map_err(failure)
    }

    /// A durable call.
    pub(crate) async fn call(
        &self,
        module: &str,
        reducer: &str,
        arguments: &[u64],
    ) -> Result<Called, Failure> {
        self.call_at(Ack::Durable, module, reducer, arguments).await
    }

    pub(crate) async fn call_at(
        &self,
        ack: Ack,
        module: &str,
        reducer: &str,
        arguments: &[u64],
    ) -> Result<Called, Failure> {
        within(self.client.call(module, reducer, encoded(arguments), ack))
            .await
            .map_err(failure)
    }

    /// All of them at once, sent in this order; the answers in the same order.
    pub(crate) async fn calls(&self, orders: &[Order]) -> Vec<Result<Called, Failure>> {
        let sent = orders.iter().map(|order| {
            self.client.call(
                &order.module,
                &order.reducer,
                encoded(&order.arguments),
                Ack::Durable,
            )
        });
        let sent: Vec<_> = sent.collect();
        let answers = within(futures::future::join_all(sent)).await;
        answers
            .into_iter()
            .map(|answer| answer.map_err(failure))
            .collect()
    }

    pub(crate) async fn query(
        &self,
        module: &str,
        query: &str,
        arguments: &[u64],
    ) -> Result<u64, Failure> {
        self.query_at(Ack::Durable, module, query, arguments).await
    }

    pub(crate) async fn query_at(
        &self,
        ack: Ack,
        module: &str,
        query: &str,
        arguments: &[u64],
    ) -> Result<u64, Failure> {
        let (bytes, _) = within(self.client.query(module, query, encoded(arguments), ack))
            .await
            .map_err(failure)?;
        Ok(u64::from_bytes(&bytes).expect("queries of these guests return a number"))
    }

    /// Every row, in key order.
    pub(crate) async fn rows(&self, module: &str, table: &str) -> Result<Vec<Vec<u64>>, Failure> {
        let mut rows = Vec::new();
        let mut after = None;
        loop {
            let page = within(self.client.rows(module, table, after, PAGE, None))
                .await
                .map_err(failure)?;
            rows.extend(page.rows.iter().map(|row| decoded(row)));
            match page.next {
                Some(next) => after = Some(next),
                None => return Ok(rows),
            }
        }
    }

    /// A page of a module's turns.
    pub(crate) async fn history(
        &self,
        module: &str,
        from: Option<HistoryCursor>,
        order: HistoryOrder,
        limit: u32,
    ) -> Result<HistoryPage, Failure> {
        within(self.client.history(module, from, order, limit))
            .await
            .map_err(failure)
    }

    /// Every row as it was, in key order.
    pub(crate) async fn rows_at(
        &self,
        module: &str,
        table: &str,
        at: Seq,
    ) -> Result<Vec<Vec<u64>>, Failure> {
        self.some_rows_at(module, table, at, u64::MAX, None).await
    }

    pub(crate) async fn some_rows_at(
        &self,
        module: &str,
        table: &str,
        at: Seq,
        limit: u64,
        filter: Option<(&str, u64)>,
    ) -> Result<Vec<Vec<u64>>, Failure> {
        let filter = filter.map(|(column, value)| RowFilter {
            column: column.into(),
            value: encoded(&[value]),
        });
        let answers = self.client.rows_at(module, table, at, limit, filter);
        let mut answers = answers.expect("the connection is there");
        within(async {
            let mut all = Vec::new();
            while let Some(part) = answers.next().await {
                if let TableAt::Rows(rows) = part.map_err(failure)? {
                    all.extend(rows.iter().map(|row| decoded(row)));
                }
            }
            Ok(all)
        })
        .await
    }

    pub(crate) async fn watch(
        &self,
        module: &str,
        table: &str,
        from: Option<Position>,
    ) -> Watching {
        let watch = self
            .client
            .watch(module, table, from)
            .expect("the connection is there");
        Watching {
            watch,
            waiting: Vec::new(),
        }
    }

    /// As [`Peer::watch`], of a client that decodes rows by the type that the table has in
    /// `schema`.
    pub(crate) async fn watch_as(
        &self,
        schema: &ModuleSchema,
        table: &str,
        from: Option<Position>,
    ) -> Watching {
        let (_, known) = schema.table(table).expect("a table of the schema");
        let row_type = Fingerprint::of_row(known, &schema.types);
        let named = (schema.name.as_str(), table);
        let watch = self.client.watch_as(named, from, row_type);
        Watching {
            watch: watch.expect("the connection is there"),
            waiting: Vec::new(),
        }
    }

    pub(crate) async fn node(&self) -> NodeStatus {
        within(self.client.node_status())
            .await
            .expect("the node tells")
    }

    pub(crate) async fn modules(&self) -> Vec<ModuleStatus> {
        within(self.client.module_status(None))
            .await
            .expect("the node tells")
    }

    pub(crate) async fn status(&self, module: &str) -> ModuleStatus {
        let mut found = within(self.client.module_status(Some(module)))
            .await
            .expect("the module is there");
        found.pop().expect("one was asked for")
    }

    /// The status once it is as wanted: what happens outside of turns sends no event that a client
    /// could wait for.
    pub(crate) async fn status_when(
        &self,
        module: &str,
        wanted: impl Fn(&ModuleStatus) -> bool,
    ) -> ModuleStatus {
        within(async {
            loop {
                let status = self.status(module).await;
                if wanted(&status) {
                    return status;
                }
            }
        })
        .await
    }

    pub(crate) async fn schema(&self, module: &str) -> Result<ModuleSchema, Failure> {
        within(self.client.schema(module)).await.map_err(failure)
    }

    /// What a module has said.
    pub(crate) async fn lines(&self, module: &str) -> Vec<LogLine> {
        self.kept_lines(Some(module)).await
    }

    /// What the node and its modules have said.
    pub(crate) async fn lines_of_node(&self) -> Vec<LogLine> {
        self.kept_lines(None).await
    }

    async fn kept_lines(&self, module: Option<&str>) -> Vec<LogLine> {
        let mut lines = self
            .client
            .logs(module, 10_000, LogsMode::Kept)
            .expect("the connection is there");
        within(async {
            let mut all = Vec::new();
            while let Some(some) = lines.next().await {
                all.extend(some.expect("owners may read"));
            }
            all
        })
        .await
    }

    /// An order or question of owners; what it answers is of no interest.
    pub(crate) async fn request(&self, body: RequestBody) -> Result<(), Failure> {
        let client = &self.client;
        let done = async {
            match body {
                RequestBody::Unload { module } => client.unload(&module).await,
                RequestBody::UnloadNeeded { module } => client.unload_needed(&module).await,
                RequestBody::Load { module } => client.load(&module).await,
                RequestBody::Remove { module } => client.remove(&module).await,
                RequestBody::Grants { module } => client.grants(&module).await.map(drop),
                RequestBody::ChangeGrant {
                    module,
                    target,
                    change,
                } => client.change_grant(&module, target, change).await.map(drop),
                RequestBody::Logs {
                    module,
                    tail,
                    follow,
                    ..
                } => match client.logs(module.as_deref(), tail, follow)?.next().await {
                    Some(first) => first.map(drop),
                    None => Ok(()),
                },
                RequestBody::Stop => client.stop().await,
                RequestBody::ModuleStatus { module } => {
                    client.module_status(module.as_deref()).await.map(drop)
                }
                other => unreachable!("{other:?} has a method of its own"),
            }
        };
        within(done).await.map_err(failure)
    }
}

/// One change of a watched table.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct SeenChange {
    pub(crate) position: Position,
    pub(crate) before: Option<Vec<u64>>,
    pub(crate) after: Option<Vec<u64>>,
}

/// A table that is watched.
pub(crate) struct Watching {
    watch: Watch,
    waiting: Vec<SeenChange>,
}

impl Watching {
    async fn next(&mut self) -> Result<WatchEvent, Failure> {
        within(self.watch.next())
            .await
            .expect("a watch goes on")
            .map_err(failure)
    }

    /// The rows at the beginning, and where that is.
    pub(crate) async fn rows(&mut self) -> (Vec<Vec<u64>>, Position) {
        let mut all = Vec::new();
        loop {
            match self.next().await.expect("the table can be watched") {
                WatchEvent::Rows { rows, complete } => {
                    all.extend(rows.iter().map(|row| decoded(row)));
                    if let Some(position) = complete {
                        return (all, position);
                    }
                }
                WatchEvent::Changes(changes) => {
                    unreachable!("changes before all rows: {changes:?}")
                }
            }
        }
    }

    async fn more(&mut self) {
        match self.next().await.expect("the watch goes on") {
            WatchEvent::Changes(changes) => self.waiting.extend(changes.into_iter().map(seen)),
            WatchEvent::Rows { rows, complete } => {
                unreachable!("rows among changes: {rows:?} {complete:?}")
            }
        }
    }

    /// The next `count` changes.
    pub(crate) async fn changes(&mut self, count: usize) -> Vec<SeenChange> {
        while self.waiting.len() < count {
            self.more().await;
        }
        self.waiting.drain(..count).collect()
    }

    /// The changes up to one that is as wanted.
    pub(crate) async fn changes_until(
        &mut self,
        wanted: impl Fn(&SeenChange) -> bool,
    ) -> Vec<SeenChange> {
        loop {
            if let Some(place) = self.waiting.iter().position(&wanted) {
                return self.waiting.drain(..=place).collect();
            }
            self.more().await;
        }
    }

    /// Why it cannot be watched.
    pub(crate) async fn failure(mut self) -> Failure {
        self.next().await.expect_err("it cannot be watched")
    }
}

fn seen(change: WatchedChange) -> SeenChange {
    let row = |row: Option<Vec<u8>>| row.map(|row| decoded(&row));
    SeenChange {
        position: change.position,
        before: row(change.before),
        after: row(change.after),
    }
}

pub(crate) fn encoded(arguments: &[u64]) -> Vec<u8> {
    let mut bytes = Vec::new();
    arguments
        .iter()
        .for_each(|argument| argument.encode(&mut bytes));
    bytes
}

pub(crate) fn decoded(row: &[u8]) -> Vec<u64> {
    let mut input = Input::new(row);
    let mut columns = Vec::new();
    while input.left() > 0 {
        columns.push(u64::decode(&mut input).expect("columns of these guests are numbers"));
    }
    columns
}

/// What the node has said, or that it cannot be asked any more.
fn failure(error: Error) -> Failure {
    match error {
        Error::Failed(failure) => failure,
        other => Failure::new(Code::Unavailable, other.to_string()),
    }
}

pub(crate) async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(DEADLINE, future)
        .await
        .expect("the node answers in time")
}
