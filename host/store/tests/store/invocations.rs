//! Listing.

use host_journal::{Append, AppendJournal, InvocationStatus, Suspension};
use host_store::{DUE, Fence, Filter, Left};
use host_types::{PromiseId, WaitingFor};
use sqlx::{AssertSqlSafe, Connection};

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
    assert_eq!(fixture.store.find_key(&claim(0, 0)).await.unwrap(), None);
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

#[tokio::test]
async fn what_is_old_is_found_by_its_age() {
    const HOUR_MS: u64 = 60 * 60 * 1_000;
    const MINUTE_MS: u64 = 60 * 1_000;
    let fixture = fixture().await;
    let store = &fixture.store;
    let (old, _new) = (begun(store).await, begun(store).await);
    let aged = format!("UPDATE host.invocation SET created_at = created_at - interval '2 hours' WHERE id = '{old}'");
    fixture.superuser_executes(&aged).await;
    let found = async |older_than_ms: Option<u64>| {
        let filter = Filter {
            older_than_ms,
            limit: 10,
            ..Filter::default()
        };
        let page = store.list(&filter).await.unwrap();
        page.rows.iter().map(|row| row.invocation).collect::<Vec<_>>()
    };
    assert_eq!(found(None).await.len(), 2);
    assert_eq!(found(Some(HOUR_MS)).await, [old]);
    assert_eq!(found(Some(2 * HOUR_MS - MINUTE_MS)).await, [old]);
    assert_eq!(found(Some(3 * HOUR_MS)).await, []);
}

#[tokio::test]
async fn what_is_open_of_a_component_is_counted_up_to_the_limit() {
    let fixture = fixture().await;
    let store = &fixture.store;
    let rows = "INSERT INTO host.invocation (id, component, function, deployment, status, due_at, ended_at)
        SELECT gen_random_uuid(), component, 'f', 1, status::host.invocation_status,
            CASE status WHEN 'running' THEN now() END, CASE WHEN status IN ('completed', 'failed', 'cancelled') THEN now() END
        FROM unnest(ARRAY['order', 'cart']) AS component,
            unnest(ARRAY['running', 'suspended', 'paused', 'completed', 'failed', 'cancelled']) AS status,
            generate_series(1, 3)";
    fixture.superuser_executes(rows).await;
    let order = "order".into();
    assert_eq!(store.open_count(&order, 1_000_000).await.unwrap(), 9);
    assert_eq!(store.open_count(&order, 9).await.unwrap(), 9);
    assert_eq!(store.open_count(&order, 4).await.unwrap(), 4);
    assert_eq!(store.open_count(&"account".into(), 4).await.unwrap(), 0);

    let rows = "INSERT INTO host.invocation (id, component, function, deployment, status, node_id, failures, due_at)
        SELECT gen_random_uuid(), component, 'f', 1, status::host.invocation_status, node_id, failures, due_at
        FROM (VALUES
            ('later', 'running', NULL, 0, now() + interval '30 days'),
            ('overdue', 'running', NULL, 0, now() - interval '1 day'),
            ('tried-again', 'running', NULL, 1, now() + interval '1 day'),
            ('asleep', 'suspended', NULL, 0, now() + interval '1 day'),
            ('owned', 'running', gen_random_uuid(), 0, NULL)
        ) AS one (component, status, node_id, failures, due_at)";
    fixture.superuser_executes(rows).await;
    for (component, open) in [
        ("later", 0),
        ("overdue", 1),
        ("tried-again", 1),
        ("asleep", 1),
        ("owned", 1),
    ] {
        let counted = store.open_count(&component.into(), 4).await.unwrap();
        assert_eq!(counted, open, "{component}");
    }
}

#[tokio::test]
async fn what_is_left_to_others_costs_a_look_for_what_is_due_nothing() {
    const DUE_AT_ONCE: i32 = 20_000;
    /// Blocks that a look may touch: a few for each lane, and some for each row that is taken.
    const BLOCKS: u64 = 300;
    let fixture = fixture().await;
    let store = &fixture.store;
    let mut session = fixture.superuser().await;
    // The one component is full, of the other some are due and many are not.
    let waiting = "INSERT INTO host.invocation (id, component, function, deployment, status, due_at)
        SELECT gen_random_uuid(), component, 'f', 1, 'running', now() + after
        FROM unnest(ARRAY['full', 'free', 'free'], ARRAY[$1, 3, $1], ARRAY['-1 day', '-1 hour', '1 day']::interval[])
                AS waiting (component, count, after)
            CROSS JOIN generate_series(1, count)";
    sqlx::query(waiting)
        .bind(DUE_AT_ONCE)
        .execute(&mut session)
        .await
        .unwrap();
    let left = Left {
        components: vec!["full".into()],
        deployments: Vec::new(),
    };

    let mut transaction = session.begin().await.unwrap();
    let explain = AssertSqlSafe(format!("EXPLAIN (ANALYZE, BUFFERS) {DUE}"));
    let plan: Vec<String> = sqlx::query_scalar(explain)
        .bind(store.node().0)
        .bind(100_i64)
        .bind(vec!["full"])
        .bind(Vec::<i64>::new())
        .fetch_all(&mut *transaction)
        .await
        .unwrap();
    transaction.rollback().await.unwrap();
    // The first is of the whole.
    let buffers = plan.iter().find(|line| line.contains("Buffers: shared")).unwrap();
    let touched = buffers
        .split(' ')
        .filter_map(|part| part.strip_prefix("hit=").or(part.strip_prefix("read=")));
    let blocks: u64 = touched.map(|count| count.parse::<u64>().unwrap()).sum();
    assert!(blocks < BLOCKS, "{blocks} blocks: {plan:#?}");

    let due = store.due(100, &left).await.unwrap();
    assert_eq!(due.len(), 3);
    assert_eq!(store.due(100, &left).await.unwrap(), []);
    assert_eq!(store.due(100, &Left::default()).await.unwrap().len(), 100);
}

#[tokio::test]
async fn a_look_for_what_is_due_locks_what_it_takes_and_steps_over_what_another_is_taking() {
    const LANE: i64 = 20;
    let fixture = fixture().await;
    let store = &fixture.store;
    let waiting = format!(
        "INSERT INTO host.invocation (id, component, function, deployment, status, due_at)
         SELECT gen_random_uuid(), component, 'f', 1, 'running', now() - make_interval(secs => number)
         FROM unnest(ARRAY['one', 'two', 'three']) AS component CROSS JOIN generate_series(1, {LANE}) AS number"
    );
    fixture.superuser_executes(&waiting).await;
    let limit = u32::try_from(LANE).unwrap();
    assert_eq!(store.due(limit, &Left::default()).await.unwrap().len(), 20);
    let longest =
        "SELECT count(*) FROM host.invocation WHERE node_id IS NULL AND due_at < now() - interval '15 seconds'";
    assert_eq!(fixture.value(longest).await, 0, "the longest due is the first");
    let locked = "SELECT count(*) FROM host.invocation WHERE node_id IS NULL AND xmax::text <> '0'";
    assert_eq!(fixture.value(locked).await, 0);

    // Another node is taking as many as this one is to get.
    let left = Left {
        components: vec!["two".into(), "three".into()],
        deployments: Vec::new(),
    };
    let mut session = fixture.superuser().await;
    let mut taking = session.begin().await.unwrap();
    let taken: Vec<uuid::Uuid> = sqlx::query_scalar(
        "SELECT id FROM host.invocation WHERE component = 'one' AND node_id IS NULL ORDER BY due_at LIMIT 5 FOR UPDATE",
    )
    .fetch_all(&mut *taking)
    .await
    .unwrap();
    let due = store.due(5, &left).await.unwrap();
    assert_eq!(due.len(), 5);
    assert!(due.iter().all(|(id, _)| !taken.contains(&id.0)), "{due:?}");
}
