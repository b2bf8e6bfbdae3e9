//! The client: one method per thing that can be asked of a node. Uploads, pages and streams are in files of their own.

use std::sync::Arc;

use interstice_abi::{
    id::{NodeId, Position, Seq},
    schema::ModuleSchema,
    wire::{
        Ack, Called, GrantChange, GrantEntry, GrantTarget, LogsMode, ModuleStatus, NodeStatus,
        RequestBody, ResponseBody, Welcome,
    },
};
use tokio::sync::Mutex;

use crate::{
    ConnectOptions, Error, Identity, Logs, Subscription, Target, Watch, answer::unexpected,
    connect, link::Link,
};

/// A connection to a node. Clones share it; it is closed when the last clone and the last [`Subscription`] are gone.
#[derive(Clone, Debug)]
pub struct Client {
    pub(crate) shared: Arc<Shared>,
}

/// What the clones of a client share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) link: Arc<Link>,
    welcome: Welcome,
    /// A stream takes one upload at a time.
    pub(crate) uploading: Mutex<()>,
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.link.close();
    }
}

impl Client {
    /// Connects to the node at `target` and greets it, as `identity`. Must run in a tokio runtime with time and I/O; the
    /// connection's tasks stay on it.
    ///
    /// # Errors
    /// [`Error::Unreachable`], [`Error::WrongNode`], and [`Error::Failed`] when the node refuses.
    pub async fn connect(
        identity: &Identity,
        target: &Target,
        options: &ConnectOptions,
    ) -> Result<Self, Error> {
        let (link, welcome) = connect::connect(identity, target, options).await?;
        Ok(Self {
            shared: Arc::new(Shared {
                link,
                welcome,
                uploading: Mutex::new(()),
            }),
        })
    }

    /// The node's id, proven by its key.
    #[must_use]
    pub fn node(&self) -> &NodeId {
        &self.shared.welcome.node
    }

    /// What the node has said of itself, and what this client is to it.
    #[must_use]
    pub fn welcome(&self) -> &Welcome {
        &self.shared.welcome
    }

    /// Waits until the connection is lost.
    pub async fn lost(&self) {
        self.shared.link.closed().await;
    }

    /// There and back.
    ///
    /// # Errors
    /// [`Error::Lost`].
    pub async fn ping(&self) -> Result<(), Error> {
        self.done(RequestBody::Ping).await
    }

    /// Runs a reducer as a turn. `module` is `name` or `name@major`; `arguments` are the arguments' encodings, one after the
    /// other. The request is sent when this is called, not when it is first polled, so calls keep their order.
    ///
    /// # Errors
    /// [`Error::Failed`] when the reducer or the node refuses; [`Error::OutcomeUnknown`] when the connection is lost.
    pub fn call(
        &self,
        module: &str,
        reducer: &str,
        arguments: Vec<u8>,
        ack: Ack,
    ) -> impl Future<Output = Result<Called, Error>> + Send + use<> {
        let (module, reducer) = (module.to_string(), reducer.to_string());
        let asked = self.shared.link.ask(RequestBody::Call {
            module,
            reducer,
            arguments,
            ack,
        });
        async move {
            match asked.await? {
                ResponseBody::Called(called) => Ok(called),
                other => Err(unexpected("a call", &other)),
            }
        }
    }

    /// Runs a query: its value's encoding and the last turn that it saw. `ack` says whether what was read must be synced.
    ///
    /// # Errors
    /// [`Error::Failed`] and [`Error::Lost`].
    pub async fn query(
        &self,
        module: &str,
        query: &str,
        arguments: Vec<u8>,
        ack: Ack,
    ) -> Result<(Vec<u8>, Seq), Error> {
        let (module, query) = (module.to_string(), query.to_string());
        match self
            .ask(RequestBody::Query {
                module,
                query,
                arguments,
                ack,
            })
            .await?
        {
            ResponseBody::Value { bytes, seq } => Ok((bytes, seq)),
            other => Err(unexpected("a query", &other)),
        }
    }

    /// Watches a table: its rows and then its changes, or, with a position, the changes behind it.
    /// Whether the node agrees shows in the first item.
    ///
    /// # Errors
    /// [`Error::Lost`].
    pub fn watch(&self, module: &str, table: &str, from: Option<Position>) -> Result<Watch, Error> {
        let (module, table) = (module.to_string(), table.to_string());
        Subscription::start(
            &self.shared,
            RequestBody::Watch {
                module,
                table,
                from,
            },
        )
    }

    /// The last `tail` lines of the node's log, and those that come when `follow` says so. Owners only.
    ///
    /// # Errors
    /// [`Error::Lost`].
    pub fn logs(&self, module: Option<&str>, tail: u32, follow: LogsMode) -> Result<Logs, Error> {
        let module = module.map(str::to_string);
        Subscription::start(
            &self.shared,
            RequestBody::Logs {
                module,
                tail,
                after: None,
                follow,
            },
        )
    }

    /// The same behind the line of the number `after`: what a follower that was cut off has missed.
    ///
    /// # Errors
    /// [`Error::Lost`]; a line that the node has no longer is told by the stream.
    pub fn logs_after(
        &self,
        module: Option<&str>,
        after: u64,
        follow: LogsMode,
    ) -> Result<Logs, Error> {
        let (module, tail, after) = (module.map(str::to_string), 0, Some(after));
        Subscription::start(
            &self.shared,
            RequestBody::Logs {
                module,
                tail,
                after,
                follow,
            },
        )
    }

    /// A module's schema: the public view, or all of it for owners.
    ///
    /// # Errors
    /// [`Error::Failed`] and [`Error::Lost`].
    pub async fn schema(&self, module: &str) -> Result<ModuleSchema, Error> {
        match self
            .ask(RequestBody::Schema {
                module: module.to_string(),
            })
            .await?
        {
            ResponseBody::Schema(schema) => Ok(schema),
            other => Err(unexpected("a schema", &other)),
        }
    }

    /// What the node is and how it does.
    ///
    /// # Errors
    /// [`Error::Failed`] and [`Error::Lost`].
    pub async fn node_status(&self) -> Result<NodeStatus, Error> {
        match self.ask(RequestBody::NodeStatus).await? {
            ResponseBody::Node(status) => Ok(status),
            other => Err(unexpected("the node's status", &other)),
        }
    }

    /// The modules that this client may see, by name, or only `module`.
    ///
    /// # Errors
    /// [`Error::Failed`] and [`Error::Lost`].
    pub async fn module_status(&self, module: Option<&str>) -> Result<Vec<ModuleStatus>, Error> {
        match self
            .ask(RequestBody::ModuleStatus {
                module: module.map(str::to_string),
            })
            .await?
        {
            ResponseBody::Modules(modules) => Ok(modules),
            other => Err(unexpected("modules", &other)),
        }
    }

    /// Stops a module, keeps its data. Refused while running modules need it. Owners only.
    ///
    /// # Errors
    /// [`Error::Failed`] and [`Error::OutcomeUnknown`].
    pub async fn unload(&self, module: &str) -> Result<(), Error> {
        self.done(RequestBody::Unload {
            module: module.to_string(),
        })
        .await
    }

    /// Stops a module although running ones need it: their calls and reads of it fail until it is loaded again, which runs their
    /// `load` as well. Owners only.
    ///
    /// # Errors
    /// As [`Client::unload`].
    pub async fn unload_needed(&self, module: &str) -> Result<(), Error> {
        self.done(RequestBody::UnloadNeeded {
            module: module.to_string(),
        })
        .await
    }

    /// Starts a stopped or quarantined module. Owners only.
    ///
    /// # Errors
    /// [`Error::Failed`] and [`Error::OutcomeUnknown`].
    pub async fn load(&self, module: &str) -> Result<(), Error> {
        self.done(RequestBody::Load {
            module: module.to_string(),
        })
        .await
    }

    /// Stops a module and deletes its data. Owners only.
    ///
    /// # Errors
    /// [`Error::Failed`] and [`Error::OutcomeUnknown`].
    pub async fn remove(&self, module: &str) -> Result<(), Error> {
        self.done(RequestBody::Remove {
            module: module.to_string(),
        })
        .await
    }

    /// What a module may do. Owners only.
    ///
    /// # Errors
    /// [`Error::Failed`] and [`Error::Lost`].
    pub async fn grants(&self, module: &str) -> Result<Vec<GrantEntry>, Error> {
        match self
            .ask(RequestBody::Grants {
                module: module.to_string(),
            })
            .await?
        {
            ResponseBody::Grants(grants) => Ok(grants),
            other => Err(unexpected("grants", &other)),
        }
    }

    /// Gives or takes back a grant; the turn from which that holds. Owners only.
    ///
    /// # Errors
    /// [`Error::Failed`] and [`Error::OutcomeUnknown`].
    pub async fn change_grant(
        &self,
        module: &str,
        target: GrantTarget,
        change: GrantChange,
    ) -> Result<Seq, Error> {
        match self
            .ask(RequestBody::ChangeGrant {
                module: module.to_string(),
                target,
                change,
            })
            .await?
        {
            ResponseBody::Called(called) => Ok(called.seq),
            other => Err(unexpected("a change of grants", &other)),
        }
    }

    /// Drains and stops the node; answered once it takes nothing new. Owners only.
    ///
    /// # Errors
    /// [`Error::Failed`] and [`Error::OutcomeUnknown`].
    pub async fn stop(&self) -> Result<(), Error> {
        self.done(RequestBody::Stop).await
    }

    pub(crate) async fn done(&self, body: RequestBody) -> Result<(), Error> {
        match self.ask(body).await? {
            ResponseBody::Done => Ok(()),
            other => Err(unexpected("a confirmation", &other)),
        }
    }

    pub(crate) fn ask(
        &self,
        body: RequestBody,
    ) -> impl Future<Output = Result<ResponseBody, Error>> + Send + use<> {
        self.shared.link.ask(body)
    }
}
