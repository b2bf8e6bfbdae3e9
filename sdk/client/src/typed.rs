//! Requests that name the signature or row type that they mean, and go on by themselves when a
//! module is upgraded meanwhile.

use interstice_abi::{
    failure::{Code, Failure},
    fingerprint::Fingerprint,
    id::{Position, Seq},
    schema::{ModuleSchema, QuerySchema, ReducerSchema, TableSchema},
    wire::{Ack, Called, RequestBody, ResponseBody, RowFilter},
};

use crate::{
    Client, Error, RowsAt, Subscription, Watch,
    answer::unexpected,
    refit::{Signature, refit},
};

impl Client {
    /// As [`Client::call`], unless the reducer has another signature than the one with this
    /// fingerprint: then nothing runs. The request is sent when this is called.
    ///
    /// # Errors
    /// [`Error::Failed`] with `SchemaConflict` when the signature is another one, and when the
    /// reducer or the node refuses; [`Error::OutcomeUnknown`] when the connection is lost.
    pub fn call_as(
        &self,
        (module, reducer): (&str, &str),
        arguments: Vec<u8>,
        signature: Fingerprint,
        ack: Ack,
    ) -> impl Future<Output = Result<Called, Error>> + Send + use<> {
        let (module, reducer) = (module.to_string(), reducer.to_string());
        let asked = self.ask(RequestBody::CallAs {
            module,
            reducer,
            arguments,
            ack,
            signature,
        });
        async move {
            match asked.await? {
                ResponseBody::Called(called) => Ok(called),
                other => Err(unexpected("a call", &other)),
            }
        }
    }

    /// As [`Client::query`], unless the query has another signature than the one with this
    /// fingerprint: then nothing runs.
    ///
    /// # Errors
    /// [`Error::Failed`] with `SchemaConflict` when the signature is another one, and when the
    /// query or the node refuses; [`Error::Lost`].
    pub async fn query_as(
        &self,
        (module, query): (&str, &str),
        arguments: Vec<u8>,
        signature: Fingerprint,
        ack: Ack,
    ) -> Result<(Vec<u8>, Seq), Error> {
        let (module, query) = (module.to_string(), query.to_string());
        let body = RequestBody::QueryAs {
            module,
            query,
            arguments,
            ack,
            signature,
        };
        match self.ask(body).await? {
            ResponseBody::Value { bytes, seq } => Ok((bytes, seq)),
            other => Err(unexpected("a query", &other)),
        }
    }

    /// Runs a reducer with arguments that were encoded by `schema`. Where the module was upgraded
    /// since and its signature is another one, the schema is read again and each argument goes
    /// where its name and type are, once.
    ///
    /// # Errors
    /// As [`Client::call_as`]; `SchemaConflict` when the arguments do not fit the signature that
    /// is there now.
    pub async fn call_by(
        &self,
        schema: &ModuleSchema,
        (module, reducer): (&str, &str),
        arguments: Vec<u8>,
        ack: Ack,
    ) -> Result<Called, Error> {
        let old = known_reducer(schema, reducer)?;
        let signature = Fingerprint::of_reducer(old, &schema.types);
        let named = (module, reducer);
        let first = self.call_as(named, arguments.clone(), signature, ack).await;
        let Some(conflict) = conflict(&first) else {
            return first;
        };
        let now = self.schema(module).await?;
        let new = known_reducer(&now, reducer)?;
        let from = Signature {
            arguments: &old.arguments,
            types: &schema.types,
        };
        let to = Signature {
            arguments: &new.arguments,
            types: &now.types,
        };
        let arguments = refit(&arguments, from, to).ok_or(conflict)?;
        let signature = Fingerprint::of_reducer(new, &now.types);
        self.call_as(named, arguments, signature, ack).await
    }

    /// Runs a query with arguments that were encoded by `schema`; its result is one of `schema`,
    /// too. Where the module was upgraded since, it goes as with [`Client::call_by`], if the
    /// result is still of the same type.
    ///
    /// # Errors
    /// As [`Client::query_as`]; `SchemaConflict` when arguments or result do not fit the
    /// signature that is there now.
    pub async fn query_by(
        &self,
        schema: &ModuleSchema,
        (module, query): (&str, &str),
        arguments: Vec<u8>,
        ack: Ack,
    ) -> Result<(Vec<u8>, Seq), Error> {
        let old = known_query(schema, query)?;
        let signature = Fingerprint::of_query(old, &schema.types);
        let named = (module, query);
        let first = self.query_as(named, arguments.clone(), signature, ack);
        let first = first.await;
        let Some(conflict) = conflict(&first) else {
            return first;
        };
        let now = self.schema(module).await?;
        let new = known_query(&now, query)?;
        let from = Signature {
            arguments: &old.arguments,
            types: &schema.types,
        };
        let to = Signature {
            arguments: &new.arguments,
            types: &now.types,
        };
        let result =
            |query: &QuerySchema, of: &ModuleSchema| Fingerprint::of_type(&query.result, &of.types);
        let arguments = refit(&arguments, from, to)
            .filter(|_| result(old, schema) == result(new, &now))
            .ok_or(conflict)?;
        let signature = Fingerprint::of_query(new, &now.types);
        self.query_as(named, arguments, signature, ack).await
    }

    /// As [`Client::watch`], for rows that are decoded by a type with this fingerprint. Columns
    /// that the module appends to it later come after those that are known; where rows get
    /// another type, the watch ends with `SchemaConflict`, after the last change of a row of this
    /// type. [`Client::follow`] goes on by itself.
    ///
    /// # Errors
    /// [`Error::Lost`].
    pub fn watch_as(
        &self,
        (module, table): (&str, &str),
        from: Option<Position>,
        row_type: Fingerprint,
    ) -> Result<Watch, Error> {
        let (module, table) = (module.to_string(), table.to_string());
        Subscription::start(
            &self.shared,
            RequestBody::WatchAs {
                module,
                table,
                from,
                row_type,
            },
        )
    }

    /// As [`Client::rows_at`], for rows that are decoded, and a filter whose value was encoded,
    /// by a type with this fingerprint.
    ///
    /// # Errors
    /// [`Error::Lost`]; the stream fails with `SchemaConflict` where rows of that turn are of
    /// another type.
    pub fn rows_at_as(
        &self,
        (module, table): (&str, &str),
        at: Seq,
        limit: u64,
        filter: Option<RowFilter>,
        row_type: Fingerprint,
    ) -> Result<RowsAt, Error> {
        let (module, table) = (module.to_string(), table.to_string());
        Subscription::start(
            &self.shared,
            RequestBody::RowsAtAs {
                module,
                table,
                at,
                limit,
                filter,
                row_type,
            },
        )
    }
}

/// The failure of a request that meant another version, if `outcome` is one.
pub(crate) fn conflict<T>(outcome: &Result<T, Error>) -> Option<Failure> {
    match outcome {
        Err(Error::Failed(failure)) if failure.code == Code::SchemaConflict => {
            Some(failure.clone())
        }
        _ => None,
    }
}

fn known_reducer<'a>(schema: &'a ModuleSchema, name: &str) -> Result<&'a ReducerSchema, Error> {
    let known = schema.reducers.iter().map(|known| known.name.as_str());
    let found = schema.reducer(name);
    found.ok_or_else(|| Failure::not_found("reducer", name, known).into())
}

fn known_query<'a>(schema: &'a ModuleSchema, name: &str) -> Result<&'a QuerySchema, Error> {
    let known = schema.queries.iter().map(|known| known.name.as_str());
    let found = schema.query(name);
    found.ok_or_else(|| Failure::not_found("query", name, known).into())
}

pub(crate) fn known_table<'a>(
    schema: &'a ModuleSchema,
    name: &str,
) -> Result<&'a TableSchema, Error> {
    let known = schema.tables.iter().map(|known| known.name.as_str());
    let found = schema.table(name).map(|(_, table)| table);
    found.ok_or_else(|| Failure::not_found("table", name, known).into())
}
