//! The books, kept by looking at the database from outside: what must hold after any fault.

use std::collections::{BTreeMap, HashMap};

use anyhow::{Context, Result, ensure};
use futures_util::future::try_join_all;
use parking_lot::Mutex;
use tokio_postgres::{Client, NoTls, Statement, ToStatement, types::Type};

use crate::Gateway;

/// Looks at one database as its superuser.
pub struct Audit {
    client: Client,
    /// What was asked before is planned: a test asks the same hundreds of times.
    planned: Mutex<HashMap<String, Statement>>,
}

impl Audit {
    /// Connects.
    pub async fn open(database_url: &str) -> Result<Self> {
        let (client, connection) = tokio_postgres::connect(database_url, NoTls).await?;
        // Ends with the client.
        tokio::spawn(connection);
        let planned = Mutex::default();
        Ok(Self { client, planned })
    }

    /// The one value of a query.
    pub async fn count(&self, sql: &str) -> Result<i64> {
        let row = self.client.query_one(sql, &[]).await.with_context(|| sql.to_owned())?;
        Ok(row.try_get(0)?)
    }

    /// Every row of a query, as text.
    pub async fn texts(&self, sql: &str) -> Result<Vec<String>> {
        self.answers(sql, sql).await
    }

    /// The same of a query that is asked again and again: it is planned once.
    async fn texts_again(&self, sql: &str) -> Result<Vec<String>> {
        let planned = self.planned.lock().get(sql).cloned();
        let statement = match planned {
            Some(statement) => statement,
            None => {
                let statement = self.client.prepare(sql).await.with_context(|| sql.to_owned())?;
                self.planned.lock().insert(sql.to_owned(), statement.clone());
                statement
            }
        };
        self.answers(&statement, sql).await
    }

    async fn answers(&self, query: &(impl ToStatement + ?Sized + Sync), sql: &str) -> Result<Vec<String>> {
        let rows = self.client.query(query, &[]).await.with_context(|| sql.to_owned())?;
        rows.iter().map(|row| Ok(row.try_get(0)?)).collect()
    }

    /// Fails when one of these rules has something that breaks it.
    async fn are_empty(&self, rules: &[(&str, &str)]) -> Result<()> {
        // All at once, on one connection: what is asked waits for no answer.
        let broken = try_join_all(rules.iter().map(|(_, sql)| self.texts_again(sql))).await?;
        for ((rule, _), broken) in rules.iter().zip(broken) {
            ensure!(broken.is_empty(), "{rule}: broken by {broken:?}");
        }
        Ok(())
    }

    /// Changes something as nobody but time, or an operator, could. Returns how many rows were.
    pub async fn change(&self, sql: &str) -> Result<u64> {
        self.client.execute(sql, &[]).await.with_context(|| sql.to_owned())
    }

    /// Moves the end of a payment session by so many hours, and nothing else: the timer or the flow that ends it then keeps the time it was
    /// given, as one does that comes late.
    pub async fn move_end(&self, session: &str, hours: i32) -> Result<()> {
        let moved = format!(
            "UPDATE \"order\".payment_session SET date_expired = date_expired + interval '{hours} hours' WHERE id = '{session}'"
        );
        let sessions = self.change(&moved).await?;
        ensure!(sessions == 1, "{sessions} sessions {session}");
        Ok(())
    }

    /// Waits until this many invocations are suspended, and nobody owns them.
    pub async fn suspended(&self, count: i64) -> Result<()> {
        let suspended = "SELECT count(*) FROM host.invocation WHERE status = 'suspended' AND node_id IS NULL";
        self.becomes(suspended, count).await
    }

    /// Waits until the one value of a query is this. Polls, for the same reason as [`Audit::settled`].
    pub async fn becomes(&self, sql: &str, wanted: i64) -> Result<()> {
        for _ in 0..600 {
            if self.count(sql).await? == wanted {
                return Ok(());
            }
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
        let found = self.count(sql).await?;
        ensure!(found == wanted, "{sql}: {found} instead of {wanted} after 30 s");
        Ok(())
    }

    /// All that is stored in a schema: every column of every table as its text, and what is binary as its bytes, too.
    pub async fn dump(&self, schema: &str) -> Result<Vec<u8>> {
        let tables = "SELECT format('%I.%I', table_schema, table_name) FROM information_schema.tables
                      WHERE table_schema = $1 AND table_type = 'BASE TABLE' ORDER BY 1";
        let mut dump = Vec::new();
        for table in self.client.query(tables, &[&schema]).await? {
            let table: String = table.try_get(0)?;
            for row in self
                .client
                .query(&format!("SELECT t::text FROM ONLY {table} t"), &[])
                .await?
            {
                dump.extend_from_slice(row.try_get::<_, &str>(0)?.as_bytes());
                dump.push(b'\n');
            }
            let rows = self.client.query(&format!("SELECT * FROM ONLY {table}"), &[]).await?;
            for row in &rows {
                for (index, column) in row.columns().iter().enumerate() {
                    if *column.type_() == Type::BYTEA
                        && let Some(bytes) = row.try_get::<_, Option<&[u8]>>(index)?
                    {
                        dump.extend_from_slice(bytes);
                        dump.push(b'\n');
                    }
                }
            }
        }
        Ok(dump)
    }

    /// Waits until no invocation is open. Polls: it watches from outside what the host does by itself. What is sent is due at once by a clock that may
    /// be ahead of the database's, and what failed is tried again soon.
    pub async fn settled(&self) -> Result<()> {
        const OPEN: &str = "SELECT count(*) FROM host.invocation WHERE ended_at IS NULL AND (due_at IS NULL
             OR due_at <= now() + CASE WHEN failures > 0 THEN interval '5 s' ELSE interval '200 ms' END)";
        for _ in 0..600 {
            if self.count(OPEN).await? == 0 {
                return Ok(());
            }
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
        let open = self
            .texts(
                "SELECT concat_ws(' ', id, component, function, status, 'owned by ' || node_id, 'due in ' || due_at - now(), cause)
                 FROM host.invocation WHERE ended_at IS NULL AND (due_at IS NULL OR due_at <= now())",
            )
            .await?;
        ensure!(open.is_empty(), "still open after 30 s: {open:#?}");
        Ok(())
    }

    /// Of a desk of the guest `flow`: whoever enters leaves before the next one enters. Gives the tickets in order.
    pub async fn served_one_at_a_time(&self, desk: &str) -> Result<Vec<String>> {
        let steps = format!(
            "SELECT split_part(what, ' ', 1) || ' ' || ticket FROM flow.note WHERE split_part(what, ' ', 2) = '{desk}'
             ORDER BY number"
        );
        let steps = self.texts(&steps).await?;
        let mut served = Vec::new();
        for pair in steps.chunks(2) {
            let visit = || format!("desk {desk}, visit {}: {pair:?}", served.len());
            let ticket = pair[0].strip_prefix("enters ").with_context(visit)?;
            let left = pair.get(1).and_then(|step| step.strip_prefix("leaves "));
            ensure!(left == Some(ticket), visit());
            served.push(ticket.to_owned());
        }
        Ok(served)
    }

    /// Everything that must hold of the books at rest.
    pub async fn books_hold(&self) -> Result<()> {
        let must_be_empty = [
            (
                "stock = imported - held - sold",
                "SELECT s.id::text FROM inventory.stock s
                 WHERE s.stock + s.taken <> (SELECT coalesce(sum(h.change), 0) FROM inventory.stock_history h
                                             WHERE h.stock_id = s.id AND h.reason IN ('import', 'adjust'))",
            ),
            (
                "taken = what live reservations hold or sold",
                "SELECT s.id::text FROM inventory.stock s
                 WHERE s.taken <> (SELECT coalesce(sum(i.quantity - i.returned), 0)
                                   FROM inventory.reservation_item i JOIN inventory.reservation r ON r.id = i.reservation_id
                                   WHERE i.stock_id = s.id AND r.state <> 'released')",
            ),
            (
                "the movement log adds up to the stock",
                "SELECT s.id::text FROM inventory.stock s
                 WHERE s.stock <> (SELECT coalesce(sum(h.change), 0) FROM inventory.stock_history h WHERE h.stock_id = s.id)",
            ),
            (
                "inventory itself finds nothing that does not add up",
                "SELECT stock_id::text FROM inventory.discrepancy",
            ),
            (
                "while serial numbers are required, as many units are active as are free",
                "SELECT s.id::text FROM inventory.stock s
                 WHERE s.serial_required
                   AND s.stock <> (SELECT count(*) FROM inventory.serial u WHERE u.stock_id = s.id AND u.status = 'Active')",
            ),
            (
                "of units with serial numbers as many are out for a reservation as it has not given back",
                "SELECT i.reservation_id || ' ' || i.stock_id FROM inventory.reservation_item i
                 WHERE CASE WHEN cardinality(i.serial_ids) > 0 THEN i.quantity - i.returned ELSE 0 END
                    <> (SELECT count(*) FROM inventory.serial u WHERE u.reservation_id = i.reservation_id AND u.stock_id = i.stock_id)",
            ),
            (
                "the units of a live item are out for it, so for no other",
                "SELECT i.id::text FROM \"order\".item i
                 WHERE i.date_cancelled IS NULL
                   AND ARRAY(SELECT unit COLLATE \"C\" FROM jsonb_array_elements_text(coalesce(i.serial_ids, '[]')) AS unit ORDER BY 1)
                    <> ARRAY(SELECT u.id FROM inventory.serial u WHERE u.reservation_id = i.reservation_id ORDER BY 1)",
            ),
            (
                "every live reservation belongs to a live item",
                "SELECT r.id::text FROM inventory.reservation r
                 WHERE r.state <> 'released'
                   AND NOT EXISTS (SELECT FROM \"order\".item i WHERE i.reservation_id = r.id AND i.date_cancelled IS NULL)",
            ),
            (
                "every live item holds its reservation",
                "SELECT i.id::text FROM \"order\".item i LEFT JOIN inventory.reservation r ON r.id = i.reservation_id
                 WHERE i.date_cancelled IS NULL AND coalesce(r.state, 'none') NOT IN ('held', 'committed')",
            ),
            (
                "an item of an order is sold",
                "SELECT i.id::text FROM \"order\".item i JOIN inventory.reservation r ON r.id = i.reservation_id
                 WHERE i.order_id IS NOT NULL AND i.date_cancelled IS NULL AND r.state <> 'committed'",
            ),
            (
                "a confirmation that claimed items made its order",
                "SELECT i.id::text FROM \"order\".item i WHERE i.confirm_session_id IS NOT NULL AND i.order_id IS NULL",
            ),
            (
                "the parcel of an order is booked, unless it came to its end before",
                "SELECT o.id::text FROM \"order\".\"order\" o JOIN \"order\".transport t ON t.id = o.transport_id
                 WHERE t.tracking_code IS NULL AND t.status NOT IN ('Success', 'Cancelled')",
            ),
            (
                "no invocation is paused or failed",
                "SELECT id::text || ' ' || coalesce(cause, '') FROM host.invocation WHERE status IN ('paused', 'failed')",
            ),
        ];
        self.are_empty(&must_be_empty).await?;
        Ok(())
    }

    /// Everything that must hold of the money at rest, and that the gateway's books say the same as ours.
    pub async fn money_holds(&self, gateway: &Gateway) -> Result<()> {
        let must_be_empty = [
            (
                "the books of a currency add up to nothing",
                "SELECT currency FROM account.ledger_book GROUP BY currency HAVING sum(balance + held) <> 0",
            ),
            (
                "what is in a book, held or not, is what the transfers left",
                "SELECT b.name FROM account.ledger_book b
                 WHERE b.balance + b.held <> (SELECT coalesce(sum(CASE WHEN t.destination = b.name THEN t.amount ELSE -t.amount END), 0)
                                     FROM account.ledger_transfer t
                                     WHERE t.currency = b.currency AND b.name IN (t.source, t.destination))",
            ),
            (
                "no wallet holds less than nothing",
                "SELECT name FROM account.ledger_book WHERE name LIKE 'wallet:%' AND (balance < 0 OR held < 0)",
            ),
            (
                "a wallet holds what is held in it",
                "SELECT b.name FROM account.ledger_book b
                 WHERE b.held <> (SELECT coalesce(sum(h.amount), 0) FROM account.ledger_hold h
                                  WHERE h.state = 'held' AND (h.source, h.currency) = (b.name, b.currency))",
            ),
            (
                "wallets hold what they are to pay for sessions that wait for the rest, once, and nothing else",
                "SELECT coalesce(l.id, h.id) FROM
                     (SELECT CASE s.kind WHEN 'buyer-checkout' THEN 'checkout:' ELSE 'confirm:' END || s.id AS id,
                             o.amount, 'wallet:' || s.from_id AS wallet
                      FROM \"order\".transaction o JOIN \"order\".payment_session s ON s.id = o.session_id
                      WHERE s.kind <> 'seller-payout' AND o.payment_option IS NULL AND o.status = 'Pending' AND s.status = 'Pending') l
                 FULL JOIN (SELECT id, amount, source FROM account.ledger_hold WHERE state = 'held') h ON h.id = l.id
                 WHERE l.amount IS DISTINCT FROM h.amount OR l.wallet IS DISTINCT FROM h.source",
            ),
            (
                "what was held and captured is the transfer that was held; what was released is none",
                "SELECT h.id FROM account.ledger_hold h LEFT JOIN account.ledger_transfer t ON t.id = h.id
                 WHERE CASE h.state
                           WHEN 'captured' THEN (t.source, t.destination, t.currency, t.amount)
                               IS DISTINCT FROM (h.source, h.destination, h.currency, h.amount)
                           ELSE t.id IS NOT NULL
                       END",
            ),
            (
                "what was captured is in the books, once, and nothing else is",
                "SELECT coalesce(l.id::text, t.id) FROM
                     (SELECT 'capture:' || id AS id, amount FROM \"order\".transaction
                      WHERE status = 'Success' AND amount > 0 AND data ? 'provider') l
                 FULL JOIN (SELECT id, amount FROM account.ledger_transfer WHERE id LIKE 'capture:%') t ON t.id = l.id
                 WHERE l.amount IS DISTINCT FROM t.amount",
            ),
            (
                "what was given back is in the books, once, and nothing else is",
                "SELECT coalesce(l.id, t.id) FROM
                     (SELECT CASE WHEN r.item_id IS NULL THEN 'return:' || r.reverses_id ELSE 'refund-item:' || r.item_id END AS id,
                             sum(r.amount) AS amount
                      FROM \"order\".transaction r JOIN \"order\".transaction o ON o.id = r.reverses_id
                      WHERE (r.item_id IS NOT NULL OR o.payment_option IS NOT NULL) AND NOT o.data ? 'netted' GROUP BY 1) l
                 FULL JOIN (SELECT id, amount FROM account.ledger_transfer WHERE id LIKE 'return:%' OR id LIKE 'refund-item:%') t
                     ON t.id = l.id
                 WHERE l.amount IS DISTINCT FROM -t.amount",
            ),
            (
                "what wallets paid was held before, is in the books, once, and nothing else is",
                "SELECT coalesce(l.id, t.id) FROM
                     (SELECT CASE s.kind WHEN 'buyer-checkout' THEN 'checkout:' ELSE 'confirm:' END || s.id AS id,
                             sum(o.amount) AS amount, 'wallet:' || s.from_id AS wallet
                      FROM \"order\".transaction o JOIN \"order\".payment_session s ON s.id = o.session_id
                      WHERE s.kind <> 'seller-payout' AND o.payment_option IS NULL AND o.amount > 0 AND o.status = 'Success'
                      GROUP BY s.id) l
                 FULL JOIN (SELECT t.id, t.amount, t.source, h.state FROM account.ledger_transfer t
                            LEFT JOIN account.ledger_hold h ON h.id = t.id
                            WHERE t.id LIKE 'checkout:%' OR t.id LIKE 'confirm:%') t ON t.id = l.id
                 WHERE l.amount IS DISTINCT FROM t.amount OR l.wallet IS DISTINCT FROM t.source OR t.state IS DISTINCT FROM 'captured'",
            ),
            (
                "no wallet is given back what it paid for a session as a whole: until that is paid it pays nothing",
                "SELECT id FROM account.ledger_transfer WHERE reverts_id IS NOT NULL OR id LIKE 'undo:%'
                 UNION ALL
                 SELECT r.id::text FROM \"order\".transaction r JOIN \"order\".transaction o ON o.id = r.reverses_id
                 WHERE r.item_id IS NULL AND o.payment_option IS NULL",
            ),
            (
                "no leg gives back more than it brought",
                "SELECT l.id::text FROM \"order\".transaction l WHERE l.amount > 0
                     AND l.amount < (SELECT coalesce(-sum(r.amount), 0) FROM \"order\".transaction r WHERE r.reverses_id = l.id)",
            ),
            (
                "the settled legs of a checkout are what its lines cost, or what wallets paid for them while the rest is to be collected",
                "SELECT s.id::text FROM \"order\".payment_session s WHERE s.kind = 'buyer-checkout'
                     AND (SELECT coalesce(sum(l.amount), 0) FROM \"order\".transaction l
                          WHERE l.session_id = s.id AND l.status = 'Success')
                      <> (SELECT coalesce(sum(CASE WHEN s.status = 'Success' THEN i.total_amount
                                                   WHEN s.collect_on_delivery THEN i.wallet_amount ELSE 0 END), 0)
                          FROM \"order\".item i WHERE i.payment_session_id = s.id AND i.date_cancelled IS NULL)",
            ),
            (
                "the platform has the fees that were paid, once, and nothing else of them",
                "SELECT coalesce(s.id, t.id) FROM
                     (SELECT 'fee:' || s.id AS id, sum(l.amount) AS amount FROM \"order\".payment_session s
                      JOIN \"order\".transaction l ON l.session_id = s.id AND l.status = 'Success' AND NOT l.data ? 'netted'
                      WHERE s.kind = 'seller-confirmation-fee' AND s.status = 'Success' GROUP BY s.id) s
                 FULL JOIN (SELECT id, amount FROM account.ledger_transfer WHERE id LIKE 'fee:%') t ON t.id = s.id
                 WHERE s.amount IS DISTINCT FROM t.amount",
            ),
            (
                "a fee that is netted is what was kept back of an order that is paid out, and nothing of one that is not delivered",
                "SELECT coalesce(n.id, t.id) FROM
                     (SELECT 'netted-fee:' || o.id AS id, sum(l.amount) AS amount FROM \"order\".\"order\" o
                      JOIN \"order\".transaction l ON l.session_id = o.confirm_session_id AND l.data ? 'netted' AND l.status = 'Success'
                      JOIN \"order\".payment_session payout ON payout.id = o.id AND payout.status IN ('Success', 'Cancelled')
                      GROUP BY o.id HAVING sum(l.amount) <> 0) n
                 FULL JOIN (SELECT id, amount FROM account.ledger_transfer WHERE id LIKE 'netted-fee:%') t ON t.id = n.id
                 WHERE n.amount IS DISTINCT FROM t.amount",
            ),
            (
                "a seller has back what the platform had taken of an order that was not delivered, once, and nothing else of fees",
                "SELECT coalesce(f.id, t.id) FROM
                     (SELECT 'platform-fee-back:' || o.id AS id, 'wallet:' || fee.from_id AS wallet,
                             least((fee.data->>'platform_fee_amount')::bigint,
                                   (SELECT coalesce(sum(l.amount), 0) FROM \"order\".transaction l
                                    WHERE l.session_id = fee.id AND l.status = 'Success' AND NOT l.data ? 'netted')
                                   - (fee.data->>'shipping_amount')::bigint) AS amount
                      FROM \"order\".\"order\" o
                      JOIN \"order\".payment_session payout ON payout.id = o.id AND payout.status = 'Cancelled'
                      JOIN \"order\".payment_session fee ON fee.id = o.confirm_session_id) f
                 FULL JOIN (SELECT id, amount, destination FROM account.ledger_transfer WHERE id LIKE 'platform-fee-back:%') t ON t.id = f.id
                 WHERE greatest(f.amount, 0) <> coalesce(t.amount, 0) OR f.id IS NULL OR t.destination <> f.wallet",
            ),
            (
                "the parts of a fee add up to what its seller pays",
                "SELECT id::text FROM \"order\".payment_session WHERE kind = 'seller-confirmation-fee'
                     AND total_amount <> (data->>'shipping_amount')::bigint + (data->>'platform_fee_amount')::bigint",
            ),
            (
                "a seller has what was paid out, once, and nothing else",
                "SELECT coalesce(s.id, t.id) FROM
                     (SELECT 'payout:' || id AS id, total_amount, 'wallet:' || to_id AS wallet FROM \"order\".payment_session
                      WHERE kind = 'seller-payout' AND status = 'Success' AND total_amount > 0) s
                 FULL JOIN (SELECT id, amount, destination FROM account.ledger_transfer WHERE id LIKE 'payout:%') t ON t.id = s.id
                 WHERE s.total_amount IS DISTINCT FROM t.amount OR s.wallet IS DISTINCT FROM t.destination",
            ),
            (
                "a seller is paid for what was delivered, and for nothing else",
                "SELECT payout.id::text FROM \"order\".payment_session payout
                 JOIN \"order\".\"order\" o ON o.id = payout.id JOIN \"order\".transport t ON t.id = o.transport_id
                 WHERE payout.status IN ('Processing', 'Success') AND t.status <> 'Success'",
            ),
            (
                "what a carrier collected is in the books, once, and nothing else is",
                "SELECT coalesce(p.id, t.id) FROM
                     (SELECT 'collect:' || payout.id AS id, (payout.data->>'collect_amount')::bigint AS amount
                      FROM \"order\".payment_session payout
                      JOIN \"order\".\"order\" o ON o.id = payout.id JOIN \"order\".transport t ON t.id = o.transport_id
                      WHERE t.status = 'Success' AND (payout.data->>'collect_amount')::bigint > 0) p
                 FULL JOIN (SELECT id, amount FROM account.ledger_transfer WHERE id LIKE 'collect:%') t ON t.id = p.id
                 WHERE p.amount IS DISTINCT FROM t.amount",
            ),
            (
                "escrow holds what was paid for lines that are neither given back nor paid out",
                "SELECT 'escrow' WHERE
                     (SELECT coalesce(sum(balance), 0) FROM account.ledger_book WHERE name = 'escrow') <>
                     (SELECT coalesce(sum(CASE WHEN s.status = 'Success' OR t.status = 'Success' THEN i.total_amount
                                               WHEN s.collect_on_delivery THEN i.wallet_amount ELSE 0 END), 0)
                      FROM \"order\".item i
                      JOIN \"order\".payment_session s ON s.id = i.payment_session_id
                      LEFT JOIN \"order\".payment_session payout ON payout.id = i.order_id
                      LEFT JOIN \"order\".\"order\" o ON o.id = i.order_id
                      LEFT JOIN \"order\".transport t ON t.id = o.transport_id
                      WHERE i.date_cancelled IS NULL AND payout.status IS DISTINCT FROM 'Success')",
            ),
            (
                "money that a gateway told of is in a leg once its session is decided: it paid for that, or went back",
                "SELECT e.event_id FROM \"order\".payment_event e
                 JOIN \"order\".transaction l ON l.id = e.leg_id JOIN \"order\".payment_session s ON s.id = l.session_id
                 WHERE e.outcome = 'succeeded' AND s.status <> 'Pending' AND l.status <> 'Success'",
            ),
            (
                "nothing waits for the payment of a session that is decided",
                "SELECT w.session_id::text FROM \"order\".payment_wait w JOIN \"order\".payment_session s ON s.id = w.session_id
                 WHERE s.status <> 'Pending'",
            ),
            (
                "a session that is decided has no leg that is not",
                "SELECT l.id::text FROM \"order\".transaction l JOIN \"order\".payment_session s ON s.id = l.session_id
                 WHERE l.status = 'Pending' AND s.status <> 'Pending'",
            ),
            (
                "no stock is held past its time",
                "SELECT id::text FROM inventory.reservation WHERE state = 'held' AND expires_at < now() - interval '1 minute'",
            ),
        ];
        self.are_empty(&must_be_empty).await?;
        let captured = self
            .texts(
                "SELECT id::text || ' ' || amount FROM \"order\".transaction
                 WHERE status = 'Success' AND amount > 0 AND data ? 'provider' ORDER BY 1",
            )
            .await?;
        let mut taken: Vec<String> = gateway
            .charges()
            .iter()
            .filter(|charge| charge.status == "succeeded")
            .map(|charge| format!("{} {}", charge.leg, charge.amount))
            .collect();
        taken.sort();
        ensure!(
            captured == taken,
            "we captured {captured:#?}, the gateway took {taken:#?}"
        );
        ensure!(
            gateway.refused().is_empty(),
            "the gateway refused {:#?}",
            gateway.refused()
        );
        Ok(())
    }

    /// Brings what the wallet of an account can pay to this balance, as an operator could, by one transfer from or to the world outside. One of this name
    /// happens once.
    pub async fn fill_wallet(&self, account: &str, balance: i64, name: &str) -> Result<()> {
        self.change(&format!(
            "WITH books AS (
                 INSERT INTO account.ledger_book (name, currency, owner_id, balance)
                 VALUES ('world', 'VND', NULL, 0), ('wallet:{account}', 'VND', '{account}', 0) ON CONFLICT DO NOTHING
             ) SELECT"
        ))
        .await?;
        let changed = self
            .change(&format!(
                "WITH missing AS (
                     SELECT {balance} - balance AS amount FROM account.ledger_book WHERE name = 'wallet:{account}' AND currency = 'VND'
                 ), new AS (
                     INSERT INTO account.ledger_transfer (id, source, destination, currency, amount, note, date_created)
                     SELECT 'filled:{name}:{account}', CASE WHEN amount > 0 THEN 'world' ELSE 'wallet:{account}' END,
                            CASE WHEN amount > 0 THEN 'wallet:{account}' ELSE 'world' END, 'VND', abs(amount), '', now()
                     FROM missing WHERE amount <> 0 ON CONFLICT DO NOTHING RETURNING source, destination, amount
                 )
                 UPDATE account.ledger_book b SET balance = balance + CASE WHEN b.name = new.destination THEN amount ELSE -amount END
                 FROM new WHERE b.currency = 'VND' AND b.name IN (new.source, new.destination)"
            ))
            .await?;
        ensure!(matches!(changed, 0 | 2), "{changed} books were changed");
        Ok(())
    }

    /// How many rows every table of the modules has, and how many units there are: what changes by as much whenever the same
    /// thing happens once more.
    pub async fn tally(&self) -> Result<BTreeMap<String, i64>> {
        const TABLES: &str = "SELECT format('%I.%I', table_schema, table_name) FROM information_schema.tables
             WHERE table_schema NOT IN ('host', 'public', 'pg_catalog', 'information_schema')
                 AND table_type = 'BASE TABLE' AND table_name <> '_sqlx_migrations'";
        let tables = self.texts_again(TABLES).await?;
        let rows = tables
            .iter()
            .map(|table| (table.clone(), format!("SELECT count(*) FROM {table}")));
        let units = ["stock", "taken"].map(|column| {
            let counted = format!("SELECT coalesce(sum({column}), 0)::bigint FROM inventory.stock");
            (format!("units: {column}"), counted)
        });
        let counted = rows
            .chain(units)
            .map(|(what, count)| format!("SELECT '{what} ' || ({count})"));
        let counted = counted.collect::<Vec<_>>().join("\nUNION ALL ");
        let mut tally = BTreeMap::new();
        for line in self.texts_again(&counted).await? {
            let (what, count) = line.rsplit_once(' ').context("what is counted, and how many")?;
            tally.insert(what.to_owned(), count.parse()?);
        }
        Ok(tally)
    }

    /// The business rows that a flow leaves, in a form that is the same whatever ids and times were drawn.
    pub async fn shape(&self) -> Result<Vec<String>> {
        let mut shape = Vec::new();
        for sql in [
            "SELECT 'stock ' || stock || ' ' || taken FROM inventory.stock ORDER BY 1",
            "SELECT 'reservation ' || state FROM inventory.reservation ORDER BY 1",
            "SELECT 'movement ' || reason || ' ' || change || ' ' || held_change || ' ' || sold_change FROM inventory.stock_history ORDER BY 1",
            "SELECT 'session ' || kind || ' ' || status || ' ' || total_amount FROM \"order\".payment_session ORDER BY 1",
            "SELECT 'leg ' || status || ' ' || amount FROM \"order\".transaction ORDER BY 1",
            "SELECT 'item ' || quantity || ' ' || total_amount || ' ' || (order_id IS NOT NULL) || ' ' || (date_cancelled IS NULL) FROM \"order\".item ORDER BY 1",
            "SELECT 'order ' || count(*) FROM \"order\".\"order\"",
            "SELECT 'transfer ' || split_part(id, ':', 1) || ' ' || amount FROM account.ledger_transfer ORDER BY 1",
            "SELECT concat_ws(' ', 'hold', split_part(id, ':', 1), state, amount) FROM account.ledger_hold ORDER BY 1",
            "SELECT 'cart ' || quantity FROM \"order\".cart_item ORDER BY 1",
            "SELECT 'taken from a cart ' || quantity FROM \"order\".cart_taken ORDER BY 1",
            "SELECT 'transport ' || status || ' ' || cost_amount FROM \"order\".transport ORDER BY 1",
        ] {
            shape.extend(self.texts(sql).await?);
        }
        Ok(shape)
    }
}
