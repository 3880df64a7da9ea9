//! The drivers: they bring most of what is ordered, some of it at the second try, and lose some.

use std::sync::Arc;

use anyhow::Result;
use component_tests::{Audit, courier};

use crate::world::{Dice, LOOK, World};

/// Brings what is on its way, a parcel at a time.
pub(crate) async fn drive(world: Arc<World>, mut dice: Dice) -> Result<()> {
    while !world.is_closing() {
        let (seller, path) = (&world.shop.seller.client, "/api/v1/order/seller/confirmed?limit=30");
        let mut orders = world.listed(&mut dice, seller, path).await;
        orders.retain(|order| order["transport"]["status"] == "Pending");
        match dice.of(&orders).and_then(|order| order["id"].as_str()) {
            Some(order) => bring(&world, order, &mut dice).await?,
            None => tokio::time::sleep(LOOK).await,
        }
    }
    Ok(())
}

/// Brings what is left when nobody orders any more.
pub(crate) async fn bring_the_rest(world: &World, audit: &Audit, dice: &mut Dice) -> Result<()> {
    let left = "SELECT o.id::text FROM \"order\".\"order\" o JOIN \"order\".transport t ON t.id = o.transport_id
                WHERE t.status NOT IN ('Success', 'Cancelled')";
    for order in audit.texts(left).await? {
        bring(world, &order, dice).await?;
    }
    Ok(())
}

async fn bring(world: &World, order: &str, dice: &mut Dice) -> Result<()> {
    let reports: &[&str] = match dice.below(8) {
        0 => &["failed", "delivered"],
        1 => &["failed", "travelling", "delivered"],
        2 => &["travelling", "cancelled"],
        3 | 4 => &["travelling", "delivered"],
        _ => &["delivered"],
    };
    for report in reports {
        world.plays(format!("a parcel is {report}"));
        courier::deliver(&world.gateway, order, report).await?;
    }
    Ok(())
}
