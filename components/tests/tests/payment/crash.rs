//! The process is killed before and after everything that becomes durable, of a checkout that is paid at the gateway and of its notification; the
//! client and the gateway come again.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use component_tests::{CHECKOUT, Manner, PaidShop, UNIT};

/// A checkout has fewer: one that never ends would be a bug of the test.
const POINTS: usize = 80;
/// How long a restarted host may take to finish what the last one left.
const PATIENCE: Duration = Duration::from_secs(30);

/// A checkout that is paid, on a host that may die of it. `false` when it did.
async fn survives(world: &mut PaidShop, key: &str, paid: usize) -> Result<bool> {
    let client = world.buyer().keyed(key);
    let checkout = world.checkout(1);
    let asked = async {
        let answer = client.post(CHECKOUT, checkout).await?;
        ensure!(answer.status == 200, "{}", answer.json);
        Ok(())
    };
    if asked.await.is_err() {
        return Ok(false);
    }
    let done = "SELECT count(*) FROM \"order\".payment_session WHERE status = 'Success'";
    let open = "SELECT count(*) FROM host.invocation WHERE ended_at IS NULL AND (due_at IS NULL OR due_at <= now())";
    while world.audit.count(done).await? < paid as i64 || world.audit.count(open).await? > 0 {
        if world.nexus.has_ended()? {
            return Ok(false);
        }
    }
    Ok(!world.nexus.has_ended()?)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_checkout_that_is_paid_elsewhere_survives_a_kill_at_every_point() -> Result<()> {
    let mut world = PaidShop::start(&[]).await?;
    world.gateway.behaves(Manner::Pays);
    for point in 1..=POINTS {
        let key = format!("point-{point}");
        world.restart(&[("NEXUS_DIE_AT", &point.to_string())]).await?;
        let is_over = survives(&mut world, &key, point).await?;
        world.restart(&[]).await?;
        let client = world.buyer().keyed(&key);
        let answer = client
            .post_until_answered(CHECKOUT, &world.checkout(1), PATIENCE)
            .await?;
        ensure!(answer.status == 200, "point {point}: {}", answer.json);
        let session = answer.text(200, "checkout_session_id");
        world
            .is(&session, "Success")
            .await
            .with_context(|| format!("point {point}"))?;
        world.books_hold().await.with_context(|| format!("point {point}"))?;
        ensure!(
            world.legs(&session).await? == [format!("Success {UNIT}")],
            "point {point}"
        );
        let charges = world.gateway.charges();
        ensure!(charges.len() == point, "point {point}: {charges:#?}");
        ensure!(
            charges.iter().all(|charge| charge.keys.len() == 1),
            "point {point}: {charges:#?}"
        );
        let sessions = world
            .audit
            .count("SELECT count(*) FROM \"order\".payment_session")
            .await?;
        ensure!(sessions == point as i64, "point {point}: {sessions} sessions");
        if is_over {
            ensure!(
                point > 20,
                "only {} points were reached: the hook is not compiled in",
                point - 1
            );
            return Ok(());
        }
    }
    anyhow::bail!("the checkout has more than {POINTS} points")
}
