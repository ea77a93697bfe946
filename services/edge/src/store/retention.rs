//! Retention: deletes beats and services that are too old or too many, in bounded steps.

use jiff::Timestamp;
use sqlx::sqlite::SqliteConnection;

use super::StoreSettings;

/// Beats that one step deletes at most for their age, and as many again for their number: a beat
/// that waits for the writer waits for one step at most.
pub(super) const STEP: u64 = 1000;

/// What is older is deleted. An age that reaches before the calendar keeps everything.
pub(super) fn cutoff(settings: &StoreSettings, now: Timestamp) -> Timestamp {
    now.checked_sub(settings.max_age).unwrap_or(Timestamp::MIN)
}

/// Runs one step, and returns how many beats it deleted: fewer than [`STEP`] where it was the last.
pub(super) async fn prune(
    cutoff: Timestamp,
    settings: &StoreSettings,
    connection: &mut SqliteConnection,
) -> sqlx::Result<u64> {
    let old = delete_old(cutoff, connection).await?;
    let surplus = delete_surplus(settings.max_rows, connection).await?;
    // Also those that are not in memory, since they were too many.
    sqlx::query("DELETE FROM instances WHERE last_seen_us < ?")
        .bind(cutoff.as_microsecond())
        .execute(connection)
        .await?;
    Ok(old + surplus)
}

/// Deletes the services without instances.
pub(super) async fn prune_services(connection: &mut SqliteConnection) -> sqlx::Result<()> {
    sqlx::query("DELETE FROM services WHERE service NOT IN (SELECT service FROM instances)")
        .execute(connection)
        .await?;
    Ok(())
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

/// Counts by id and not by row, which is cheap on a large table: ids have gaps only where beats
/// were deleted out of their order.
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
