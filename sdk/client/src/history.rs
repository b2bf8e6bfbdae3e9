//! The past of a node: turns of a module, page by page, and tables as they were.

use interstice_abi::{
    id::Seq,
    wire::{
        HistoryCursor, HistoryOrder, HistoryPage, RequestBody, ResponseBody, RowFilter, TableAt,
    },
};

use crate::{Client, Error, Subscription, answer::unexpected};

/// A table as it was: its schema, then its rows, until they end or it is dropped.
pub type RowsAt = Subscription<TableAt>;

impl Client {
    /// A page of at most `limit` turns that have touched a module, whole, with the schemas of
    /// their rows and arguments. The module need not be there any more. `from` is a turn or the
    /// [`HistoryPage::next`] of the page before; without it, history begins at its oldest turn,
    /// or, in reverse, at its last one. A page may end inside a turn, and has fewer turns than
    /// asked for when they are large. Owners only.
    ///
    /// The first request after a start of the node reads its whole log once; later ones read the
    /// parts that have the turns.
    ///
    /// # Errors
    /// [`Error::Failed`]: `NotFound` for a turn before the kept ones and for a module that the log does not know, `BadArguments` for
    /// a turn that has not been, `Busy` when too many read the log already. [`Error::Lost`].
    pub async fn history(
        &self,
        module: &str,
        from: Option<HistoryCursor>,
        order: HistoryOrder,
        limit: u32,
    ) -> Result<HistoryPage, Error> {
        let module = module.to_string();
        match self
            .ask(RequestBody::History {
                module,
                from,
                order,
                limit,
            })
            .await?
        {
            ResponseBody::History(page) => Ok(page),
            other => Err(unexpected("history", &other)),
        }
    }

    /// At most `limit` rows of a logged table as they were at the end of turn `at`, in key order,
    /// behind the schema of that turn. A limit of 0 asks for the schema alone, by which the value
    /// of a filter is encoded. A turn that is under way is waited for. Whoever may read the table
    /// today may read it as it was when it was public then, too; owners may read every one, also
    /// of modules that are gone. Whether the node agrees shows in the first item.
    ///
    /// The node plays every change of the module up to that turn: the cost is that of reading the
    /// log, once for each 32 MiB of rows.
    ///
    /// # Errors
    /// [`Error::Lost`].
    pub fn rows_at(
        &self,
        module: &str,
        table: &str,
        at: Seq,
        limit: u64,
        filter: Option<RowFilter>,
    ) -> Result<RowsAt, Error> {
        let (module, table) = (module.to_string(), table.to_string());
        Subscription::start(
            &self.shared,
            RequestBody::RowsAt {
                module,
                table,
                at,
                limit,
                filter,
            },
        )
    }
}
