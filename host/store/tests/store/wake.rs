//! Notifications.

use host_store::Wake;

use crate::support::{fixture, node};

#[tokio::test]
async fn a_hint_reaches_other_nodes() {
    let fixture = fixture().await;
    let other = node(&fixture.database, "two").await;
    let mut wakeups = other.listen().await.unwrap();
    fixture.store.notify(Wake::Due);
    assert_eq!(wakeups.next().await, Wake::Due);
    fixture.store.notify(Wake::Progress);
    fixture.store.notify(Wake::Progress);
    fixture.store.notify(Wake::Node);
    assert_eq!(
        (wakeups.next().await, wakeups.next().await),
        (Wake::Progress, Wake::Node)
    );
    let named = Wake::Prepare(host_types::DeploymentNumber(7));
    fixture.store.notify(named);
    assert_eq!(wakeups.next().await, named);
}

#[tokio::test]
async fn a_lost_connection_is_a_hint_that_hints_were_missed() {
    let fixture = fixture().await;
    let other = node(&fixture.database, "two").await;
    let mut wakeups = other.listen().await.unwrap();
    other.end_backends(fixture.store.node()).await.unwrap();
    fixture.store.end_backends(other.node()).await.unwrap();
    assert_eq!(wakeups.next().await, Wake::Missed);
    loop {
        fixture.store.notify(Wake::Deployment);
        if wakeups.next().await == Wake::Deployment {
            break;
        }
    }
}
