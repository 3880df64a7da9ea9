//! Listing.

use host_journal::{Append, AppendJournal, InvocationStatus};
use host_store::Filter;

use crate::support::{begun, first_append, fixture, new_id, next_append};

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
