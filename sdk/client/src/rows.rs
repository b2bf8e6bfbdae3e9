//! A table's rows, page by page.

use futures::{Stream, stream};
use interstice_abi::wire::{ROWS_PER_PAGE_MAX, RequestBody, ResponseBody, RowFilter, RowsPage};

use crate::{Client, Error, link::unexpected};

/// Rows per page when all are wanted: enough to fill a write, few enough to begin soon.
const PAGE_ROWS: u32 = 1000;

impl Client {
    /// A page of at most `limit` rows in key order, behind `after` (the [`RowsPage::next`] of the page before).
    ///
    /// # Errors
    /// [`Error::Failed`] and [`Error::Lost`].
    pub async fn rows(
        &self,
        module: &str,
        table: &str,
        after: Option<Vec<u8>>,
        limit: u32,
        filter: Option<RowFilter>,
    ) -> Result<RowsPage, Error> {
        let (module, table, limit) = (
            module.to_string(),
            table.to_string(),
            limit.min(ROWS_PER_PAGE_MAX),
        );
        match self
            .ask(RequestBody::Rows {
                module,
                table,
                after,
                limit,
                filter,
            })
            .await?
        {
            ResponseBody::Rows(page) => Ok(page),
            other => Err(unexpected("rows", &other)),
        }
    }

    /// All pages, each asked for when the one before has been taken. Rows that change meanwhile may be seen before or after.
    pub fn pages(
        &self,
        module: &str,
        table: &str,
        filter: Option<RowFilter>,
    ) -> impl Stream<Item = Result<RowsPage, Error>> + Send + use<> {
        let (client, module, table) = (self.clone(), module.to_string(), table.to_string());
        stream::try_unfold(Next::First, move |next| {
            let (client, module, table, filter) = (
                client.clone(),
                module.clone(),
                table.clone(),
                filter.clone(),
            );
            async move {
                let after = match next {
                    Next::First => None,
                    Next::After(key) => Some(key),
                    Next::End => return Ok(None),
                };
                let page = client
                    .rows(&module, &table, after, PAGE_ROWS, filter)
                    .await?;
                let next = page.next.clone().map_or(Next::End, Next::After);
                Ok(Some((page, next)))
            }
        })
    }
}

/// Where the next page begins.
enum Next {
    First,
    After(Vec<u8>),
    End,
}
