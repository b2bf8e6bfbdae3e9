//! Following a table through upgrades of its module: a watch that says by which schema its rows
//! are to be decoded.

use futures::{Stream, StreamExt as _, stream};
use interstice_abi::{
    fingerprint::Fingerprint, id::Position, schema::ModuleSchema, wire::WatchEvent,
};

use crate::{
    Client, Error, Watch,
    typed::{conflict, known_table},
};

/// What comes to a follower.
#[derive(Clone, Debug)]
pub enum Followed {
    /// Rows from here on are of this schema. Rows may have more columns after those that it has.
    Schema(Box<ModuleSchema>),
    /// Rows and changes. Rows that come again, after another schema, replace all that were there.
    Event(WatchEvent),
}

/// Where a follower stands.
struct Follower {
    client: Client,
    module: String,
    table: String,
    from: Option<Position>,
    step: Step,
}

enum Step {
    /// The schema is to be read.
    Schema,
    /// The watch is to be begun.
    Watch(Fingerprint),
    /// Events come.
    Events(Box<Watch>, Fingerprint, Heard),
    Ended,
}

/// What a watch has said so far.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Heard {
    Nothing,
    Events,
}

impl Client {
    /// The schema of a module, then what happens in one of its tables, as with [`Client::watch`].
    /// When an upgrade gives the table rows of another type, the new schema follows, then the
    /// rows that are there and what changes from there on.
    ///
    /// The stream ends with its first error.
    pub fn follow(
        &self,
        module: &str,
        table: &str,
        from: Option<Position>,
    ) -> impl Stream<Item = Result<Followed, Error>> + Send + Unpin + use<> {
        let follower = Follower {
            client: self.clone(),
            module: module.to_string(),
            table: table.to_string(),
            from,
            step: Step::Schema,
        };
        Box::pin(stream::unfold(follower, |mut follower| async move {
            let next = follower.next().await?;
            if next.is_err() {
                follower.step = Step::Ended;
            }
            Some((next, follower))
        }))
    }
}

impl Follower {
    async fn next(&mut self) -> Option<Result<Followed, Error>> {
        loop {
            match std::mem::replace(&mut self.step, Step::Ended) {
                Step::Ended => return None,
                Step::Schema => return Some(self.schema().await),
                Step::Watch(row_type) => {
                    let (named, from) = ((self.module.as_str(), self.table.as_str()), self.from);
                    match self.client.watch_as(named, from, row_type) {
                        Ok(watch) => {
                            self.step = Step::Events(Box::new(watch), row_type, Heard::Nothing);
                        }
                        Err(error) => return Some(Err(error)),
                    }
                }
                Step::Events(mut watch, row_type, heard) => {
                    let event = watch.next().await?;
                    if conflict(&event).is_some() {
                        match self.goes_on(row_type, heard).await {
                            Ok(true) => continue,
                            Ok(false) => {}
                            Err(error) => return Some(Err(error)),
                        }
                    }
                    self.step = Step::Events(watch, row_type, Heard::Events);
                    return Some(event.map(Followed::Event));
                }
            }
        }
    }

    /// Reads the schema, by which the watch goes on.
    async fn schema(&mut self) -> Result<Followed, Error> {
        let schema = self.client.schema(&self.module).await?;
        let row_type = Fingerprint::of_row(known_table(&schema, &self.table)?, &schema.types);
        self.step = Step::Watch(row_type);
        Ok(Followed::Schema(Box::new(schema)))
    }

    /// Whether a watch that was ended by an upgrade begins again, with the rows: the table has
    /// another row type than `row_type`, or its rows have gone. One that was refused from the
    /// start and has the right type does not.
    async fn goes_on(&mut self, row_type: Fingerprint, heard: Heard) -> Result<bool, Error> {
        let schema = self.client.schema(&self.module).await?;
        let now = Fingerprint::of_row(known_table(&schema, &self.table)?, &schema.types);
        if now == row_type && heard == Heard::Nothing {
            return Ok(false);
        }
        self.from = None;
        self.step = Step::Schema;
        Ok(true)
    }
}
