//! The packing desk: one at a time works there, whoever it is for.

use futures_util::FutureExt;
use host_journal::ExclusiveKey;
use host_types::Fault;

use super::DONE;
use crate::simulation::instance::Instance;

/// What the desk's book says: for whom, and whether he comes or goes.
pub(crate) const DESK: &str = "desk";
pub(crate) const COMES: i64 = 1;
pub(crate) const GOES: i64 = 0;
/// Sometimes longer than a wait keeps its instance: then the key is held by rows alone.
const WORK_MS: [u64; 3] = [10, 150, 700];

/// Waits for the desk and works there, in the name of this number.
pub(super) async fn work(instance: &Instance, number: i64) -> Result<(), Fault> {
    let key = ExclusiveKey::new("desk".into(), "shop:desk/packing", "pack", b"the only one");
    let pack = |callee| pack(callee, number).boxed();
    instance
        .call_exclusively("desk:packing.pack", &key, number, pack)
        .await?;
    Ok(())
}

async fn pack(instance: Instance, number: i64) -> Result<i64, Fault> {
    note(&instance, "come to the desk", vec![number, COMES]).await?;
    let work_ms = WORK_MS[number.unsigned_abs() as usize % WORK_MS.len()];
    instance.recorder.sleep(work_ms).await?;
    note(&instance, "leave the desk", vec![number, GOES]).await?;
    Ok(DONE)
}

async fn note(instance: &Instance, name: &str, line: Vec<i64>) -> Result<(), Fault> {
    let mut noting = instance.transaction(name).await?;
    noting.log(DESK, line);
    noting.commit().await
}
