//! What an indexer has to read again, announced in the transaction of the change.

use sdk::{
    Timestamp,
    sql::{self, Transaction, params, sql},
};

use crate::domain::product::SpuId;

/// How much of a listing's index entry is out of date.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stale {
    /// Prices, flags: what can be copied.
    Metadata,
    /// The text that is embedded, too.
    Text,
    /// All of it: the listing is gone.
    Deleted,
}

pub(crate) fn mark(tx: &Transaction, spu: SpuId, stale: Stale, now: Timestamp) -> Result<(), sql::Error> {
    tx.execute(
        sql!(
            "INSERT INTO search_sync
            (ref_type, ref_id, is_stale_embedding, is_stale_metadata, is_deleted, date_created, date_updated)
         VALUES ('ProductSpu', $1, $2, true, $3, $4, $4)
         ON CONFLICT (ref_type, ref_id) DO UPDATE
         SET is_stale_embedding = search_sync.is_stale_embedding OR EXCLUDED.is_stale_embedding,
             is_stale_metadata = true,
             is_deleted = EXCLUDED.is_deleted,
             version = search_sync.version + 1,
             date_updated = EXCLUDED.date_updated"
        ),
        params![spu, stale == Stale::Text, stale == Stale::Deleted, now],
    )?;
    Ok(())
}
