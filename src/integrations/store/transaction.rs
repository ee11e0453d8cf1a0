//! One unit of work. All our statements go through it.
//!
//! Behind a transaction pooler each transaction may run on another server connection. A named prepared statement stays on the
//! previous connection, and the same name may stand for another client's statement there. Measured: that returned other
//! clients' rows without an error. So behind such a pooler (`database.pooler = "transaction"`) no statement gets a name. sqlx
//! offers this only for single queries and not for its checked macros; hence the wrapper (docs/adr/0010).

use super::classes::Stale;
use super::{During, StoreError};
use futures_util::future::BoxFuture;
use futures_util::stream::BoxStream;
use futures_util::{FutureExt, StreamExt};
use sqlx::error::BoxDynError;
use sqlx::postgres::{PgArguments, PgPool, PgQueryResult, PgRow, PgStatement, PgTypeInfo, Postgres};
use sqlx::{Either, Error, Execute, Executor, SqlStr};
use std::ops::{Deref, DerefMut};

/// Ends without a trace when dropped before [`Transaction::commit`].
#[derive(Debug)]
pub struct Transaction(Statements);

impl Transaction {
    pub(super) async fn begin(pool: &PgPool, named: bool, stale: Stale) -> Result<Self, StoreError> {
        let inner = pool.begin().await.during("begin a transaction")?;
        Ok(Self(Statements { inner, named, stale }))
    }

    pub async fn commit(self) -> Result<(), Error> {
        self.0.inner.commit().await
    }
}

/// `&mut *transaction` is what a query runs on.
impl Deref for Transaction {
    type Target = Statements;
    fn deref(&self) -> &Statements {
        &self.0
    }
}

impl DerefMut for Transaction {
    fn deref_mut(&mut self) -> &mut Statements {
        &mut self.0
    }
}

/// Runs statements on the transaction's connection, under a name or without one.
#[derive(Debug)]
pub struct Statements {
    inner: sqlx::Transaction<'static, Postgres>,
    /// Whether the server keeps a statement for its next use.
    named: bool,
    stale: Stale,
}

impl<'c> Executor<'c> for &'c mut Statements {
    type Database = Postgres;

    fn fetch_many<'e, 'q: 'e, E>(self, query: E) -> BoxStream<'e, Result<Either<PgQueryResult, PgRow>, Error>>
    where
        'c: 'e,
        E: 'q + Execute<'q, Postgres>,
    {
        let stale = &self.stale;
        self.inner.fetch_many(Named { query, named: self.named }).inspect(|row| stale.note(row)).boxed()
    }

    fn fetch_optional<'e, 'q: 'e, E>(self, query: E) -> BoxFuture<'e, Result<Option<PgRow>, Error>>
    where
        'c: 'e,
        E: 'q + Execute<'q, Postgres>,
    {
        let stale = &self.stale;
        self.inner.fetch_optional(Named { query, named: self.named }).inspect(|row| stale.note(row)).boxed()
    }

    fn prepare_with<'e>(self, sql: SqlStr, parameters: &'e [PgTypeInfo]) -> BoxFuture<'e, Result<PgStatement, Error>>
    where
        'c: 'e,
    {
        self.inner.prepare_with(sql, parameters)
    }

    /// Part of the trait while sqlx's macros are in the tree, which alone call it.
    fn describe<'e>(self, sql: SqlStr) -> BoxFuture<'e, Result<sqlx::Describe<Postgres>, Error>>
    where
        'c: 'e,
    {
        self.inner.describe(sql)
    }
}

struct Named<E> {
    query: E,
    named: bool,
}

impl<'q, E: Execute<'q, Postgres>> Execute<'q, Postgres> for Named<E> {
    fn sql(self) -> SqlStr {
        self.query.sql()
    }
    fn statement(&self) -> Option<&PgStatement> {
        self.query.statement()
    }
    fn take_arguments(&mut self) -> Result<Option<PgArguments>, BoxDynError> {
        self.query.take_arguments()
    }
    fn persistent(&self) -> bool {
        self.named && self.query.persistent()
    }
}
