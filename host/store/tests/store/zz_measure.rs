use host_journal::AppendJournal;
use crate::support::*;
use std::time::Instant;
#[tokio::test]
async fn zz_measure() {
    let fixture = fixture().await;
    let dead = &fixture.store;
    let t = Instant::now();
    let mut set = tokio::task::JoinSet::new();
    for _ in 0..10_000 {
        let store = dead.clone();
        set.spawn(async move { begun(&store).await });
    }
    set.join_all().await;
    eprintln!("10000 starts concurrently {:?}", t.elapsed());
    let one = node(&fixture.database, "two").await;
    one.mark_gone(dead.node(), host_store::GoneBecause::ProcessEnded).await.unwrap();
    let t = Instant::now();
    let taken = one.take_over(dead.node(), 20_000).await.unwrap();
    eprintln!("took over {} in {:?}", taken.len(), t.elapsed());
    let t = Instant::now();
    for _ in 0..300 { begun(&one).await; }
    eprintln!("sequential start {:?}", t.elapsed() / 300);
    let id = begun(&one).await;
    let t = Instant::now();
    for i in 1..300 { one.append(next_append(&one, id, i)).await.unwrap(); }
    eprintln!("sequential append {:?}", t.elapsed() / 300);
    let seal = one.seal(id, None);
    let t = Instant::now();
    for i in 1..10000 { std::hint::black_box(seal.seal(i, &[0; 200])); }
    eprintln!("seal {:?}", t.elapsed() / 10000);
}
