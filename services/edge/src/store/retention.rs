//! Retention: what is too old or too much is deleted, a bounded step at a time.

use jiff::Timestamp;
use sqlx::Connection;
use sqlx::sqlite::SqliteConnection;

use super::StoreSettings;
use super::known::Known;

/// The most beats that one step deletes for their age, and again for their number:
/// beats that wait to be stored wait no longer than one step.
pub(super) const STEP: u64 = 1000;

/// Returns how many beats were deleted; `STEP` or more says that there is more to do.
pub(super) async fn prune(
    known: &Known,
    settings: &StoreSettings,
    connection: &mut SqliteConnection,
) -> sqlx::Result<u64> {
    // An age that reaches before the calendar keeps everything.
    let cutoff = Timestamp::now()
        .checked_sub(settings.max_age)
        .unwrap_or(Timestamp::MIN);
    let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await?;
    let old = delete_old(cutoff, &mut transaction).await?;
    let surplus = delete_surplus(settings.max_rows, &mut transaction).await?;
    sqlx::query("DELETE FROM services WHERE last_seen_us < ?")
        .bind(cutoff.as_microsecond())
        .execute(&mut *transaction)
        .await?;
    transaction.commit().await?;
    known.forget_before(cutoff);
    Ok(old + surplus)
}

async fn delete_old(cutoff: Timestamp, connection: &mut SqliteConnection) -> sqlx::Result<u64> {
    let done = sqlx::query(
        "DELETE FROM beats WHERE id IN
            (SELECT id FROM beats WHERE received_at_us < ? ORDER BY received_at_us LIMIT ?)",
    )
    .bind(cutoff.as_microsecond())
    .bind(STEP.cast_signed())
    .execute(connection)
    .await?;
    Ok(done.rows_affected())
}

/// Counts by id and not by row, which costs nothing on a large table: ids have no gaps
/// but where beats were deleted out of their order.
async fn delete_surplus(max_rows: u32, connection: &mut SqliteConnection) -> sqlx::Result<u64> {
    let done = sqlx::query(
        "DELETE FROM beats WHERE id IN
            (SELECT id FROM beats WHERE id <= (SELECT max(id) FROM beats) - ? ORDER BY id LIMIT ?)",
    )
    .bind(max_rows)
    .bind(STEP.cast_signed())
    .execute(connection)
    .await?;
    Ok(done.rows_affected())
}
