//! Listing.

use host_journal::{Append, AppendJournal, InvocationStatus, Suspension};
use host_store::{Fence, Filter};
use host_types::{PromiseId, WaitingFor};

use crate::support::{begun, claim, first_append, fixture, new_id, next_append};

#[tokio::test]
async fn lists_are_newest_first_and_paged() {
    let fixture = fixture().await;
    let store = &fixture.store;
    let mut made = Vec::new();
    for index in 0..5 {
        let invocation = new_id();
        let mut append = first_append(store, invocation);
        let start = append.start.as_mut().unwrap();
        start.component = if index % 2 == 0 { "order" } else { "cart" }.into();
        store.append(append).await.unwrap();
        made.push(invocation);
    }
    made.sort();
    made.reverse();
    let completed = made[0];
    store
        .append(Append {
            status: Some(InvocationStatus::Completed),
            ..next_append(store, completed, 1)
        })
        .await
        .unwrap();

    let mut filter = Filter {
        limit: 2,
        ..Filter::default()
    };
    let mut listed = Vec::new();
    loop {
        let page = store.list(&filter).await.unwrap();
        assert!(page.rows.len() <= 2);
        listed.extend(page.rows.iter().map(|row| row.invocation));
        match page.next {
            Some(next) => filter.cursor = Some(next),
            None => break,
        }
    }
    assert_eq!(listed, made);

    let carts = Filter {
        component: Some("cart".into()),
        limit: 10,
        ..Filter::default()
    };
    assert_eq!(store.list(&carts).await.unwrap().rows.len(), 2);
    let done = Filter {
        status: Some(InvocationStatus::Completed),
        limit: 10,
        ..Filter::default()
    };
    let done = store.list(&done).await.unwrap();
    assert_eq!(
        done.rows.iter().map(|row| row.invocation).collect::<Vec<_>>(),
        [completed]
    );
    assert_eq!(done.next, None);
}

#[tokio::test]
async fn what_is_not_there_is_not_found() {
    let fixture = fixture().await;
    begun(&fixture.store).await;
    assert_eq!(fixture.store.load(new_id()).await.unwrap(), None);
    assert_eq!(fixture.store.find_key(&[0; 32]).await.unwrap(), None);
    assert_eq!(fixture.store.next_due().await.unwrap(), None);
}

#[tokio::test]
async fn what_is_stuck_is_found_by_its_cause_its_wait_and_its_key() {
    let fixture = fixture().await;
    let store = &fixture.store;
    let (paused, keyed, sleeping, promised) = (new_id(), new_id(), new_id(), new_id());
    store.append(first_append(store, paused)).await.unwrap();
    let pause = Fence {
        invocation: paused,
        next_index: 1,
        bodies: next_append(store, paused, 1).bodies,
        start: None,
        status: InvocationStatus::Paused,
        owner: None,
        attempt: 1,
        failures: 3,
        due_ms: None,
        cause: Some("the Provider answered 503".into()),
    };
    store.fence(pause).await.unwrap();
    let claimed = Append {
        claim: Some(claim(7, 8)),
        ..first_append(store, keyed)
    };
    store.append(claimed).await.unwrap();
    let promise = PromiseId::new(1, [9; 10]);
    for (invocation, promises) in [(sleeping, Vec::new()), (promised, vec![promise])] {
        let made = Append {
            promises: promises.clone(),
            ..first_append(store, invocation)
        };
        store.append(made).await.unwrap();
        let suspended = Append {
            suspension: Some(Suspension {
                promises,
                due_ms: Some(u64::from(u32::MAX) * 1_000),
                ..Suspension::default()
            }),
            status: Some(InvocationStatus::Suspended),
            ..next_append(store, invocation, 1)
        };
        store.append(suspended).await.unwrap();
    }

    let found = async |filter: Filter| {
        let filter = Filter { limit: 10, ..filter };
        let page = store.list(&filter).await.unwrap();
        page.rows.iter().map(|row| row.invocation).collect::<Vec<_>>()
    };
    let cause = |text: &str| Filter {
        cause: Some(text.into()),
        ..Filter::default()
    };
    assert_eq!(found(cause("provider ANSWERED")).await, [paused]);
    assert_eq!(found(cause("100%")).await, [], "a text is no pattern");
    let waiting_for = |waiting_for| Filter {
        waiting_for: Some(waiting_for),
        ..Filter::default()
    };
    assert_eq!(found(waiting_for(WaitingFor::Time)).await, [sleeping]);
    assert_eq!(found(waiting_for(WaitingFor::Promise)).await, [promised]);
    assert_eq!(found(waiting_for(WaitingFor::This(promise))).await, [promised]);
    let other = PromiseId::new(1, [8; 10]);
    assert_eq!(found(waiting_for(WaitingFor::This(other))).await, []);
    let keys = |keys: Vec<[u8; 32]>| Filter {
        keys: Some(keys),
        ..Filter::default()
    };
    assert_eq!(found(keys(vec![[6; 32], [7; 32]])).await, [keyed]);
    assert_eq!(found(keys(Vec::new())).await, []);
}
