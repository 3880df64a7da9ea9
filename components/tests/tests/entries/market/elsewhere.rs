//! What may happen to a payment that is made elsewhere, other than that it is made: it fails or takes too long and there is another attempt,
//! it is not wanted any more, it comes too late, it goes back.

use anyhow::{Context, Result, ensure};
use component_tests::{Answer, CHECKOUT, CONFIRM, Client, Manner, Opened};
use host_testing::TestHost;
use serde_json::json;

use super::{ATTEMPT, CameTo, Market, REJECT, SHARE, post, survives, survives_with_wallets};
use crate::PATIENCE;

const GATEWAY: &str = "sandbox-redirect";

/// What the wallet of a seller pays of a fee.
const FEE_SHARE: i64 = 5_000;

impl Market {
    /// What a flow begins with: a checkout whose buyer is at the gateway.
    async fn opened(&self, host: &TestHost, run: &str) -> Result<Opened> {
        let placed = host.aside(self.check_out(run, GATEWAY)).await?;
        Ok(Opened::read(&placed, "checkout_session_id"))
    }

    /// What a flow begins with: a checkout that is paid at the gateway.
    pub(super) async fn paid(&self, host: &TestHost, run: &str) -> Result<String> {
        let pays = async {
            let placed = self.check_out(run, GATEWAY).await?;
            let opened = Opened::read(&placed, "checkout_session_id");
            self.payer_pays(&opened.url).await?;
            Ok(opened.session)
        };
        host.aside(pays).await
    }

    /// What a flow begins with: a checkout that is paid at the gateway, and its seller who is there with the fee.
    async fn confirming(&self, host: &TestHost, run: &str) -> Result<(String, Opened)> {
        let session = self.paid(host, run).await?;
        let confirmed = host.aside(self.answer(run, &session, CONFIRM, GATEWAY)).await?;
        Ok((session, Opened::read(&confirmed, "confirm_session_id")))
    }

    async fn payer_pays(&self, url: &str) -> Result<()> {
        self.world.gateway.is_paid(&self.world.gateway.leg_at(url)?).await
    }

    /// The gateway says that the payment at this address is not made, and what that sets going is done.
    async fn payment_fails(&self, host: &TestHost, url: &str) -> Result<()> {
        self.world.gateway.has_failed(&self.world.gateway.leg_at(url)?).await?;
        host.settled().await
    }

    /// The payer asks for another address below this path, and pays there if there is one; otherwise gives up.
    async fn pays_anew(&self, host: &TestHost, client: &Client, run: &str, path: &str) -> Result<Answer> {
        let again = post(client, run, &format!("{path}/payment-url"), &json!({})).await?;
        host.settled().await?;
        if let Some(url) = address(&again) {
            self.payer_pays(url).await?;
        } else {
            let given_up = post(client, run, &format!("{path}/cancel"), &json!({})).await?;
            // Unless it was over with that.
            ensure!(matches!(given_up.status.as_u16(), 200 | 410), "{}", given_up.json);
        }
        Ok(again)
    }

    /// The first attempt fails, and the buyer pays at another address.
    async fn attempts_again(&self, host: &TestHost, run: &str) -> Result<CameTo> {
        let opened = self.opened(host, run).await?;
        self.payment_fails(host, &opened.url).await?;
        let path = format!("{CHECKOUT}/{}", opened.session);
        let again = self.pays_anew(host, self.world.buyer(), run, &path).await?;
        self.came_to(host, &opened.session, &[&again]).await
    }

    /// The gateway declines the first charge, and the buyer, who finds the checkout among what is pending, pays at another address.
    async fn is_declined(&self, host: &TestHost, run: &str) -> Result<CameTo> {
        // Not once more when the process ended meanwhile: the second attempt may be on its way.
        let was_declined = self.declined.lock().is_ok_and(|last| *last == run);
        if !was_declined {
            self.world.gateway.behaves(Manner::Declines);
        }
        let placed = self.check_out(run, GATEWAY).await?;
        self.world.gateway.behaves(Manner::Waits);
        if let Ok(mut last) = self.declined.lock() {
            run.clone_into(&mut last);
        }
        if placed.status != 402 {
            return self.came_to(host, "", &[&placed]).await;
        }
        let newest = "SELECT id::text FROM \"order\".payment_session WHERE kind = 'buyer-checkout' ORDER BY date_created DESC LIMIT 1";
        let session = host.texts(newest).await?.pop().context("a session")?;
        let path = format!("{CHECKOUT}/{session}");
        let again = self.pays_anew(host, self.world.buyer(), run, &path).await?;
        self.came_to(host, &session, &[&placed, &again]).await
    }

    /// The first attempt takes too long, and the buyer pays at another address.
    async fn is_late(&self, host: &TestHost, run: &str) -> Result<CameTo> {
        let opened = self.opened(host, run).await?;
        let leg = self.world.gateway.leg_at(&opened.url)?;
        let waits =
            format!("SELECT count(*) FROM \"order\".transaction WHERE id::text = '{leg}' AND status = 'Pending'");
        // Once: the next attempt has its own time.
        if host.count(&waits).await? > 0 {
            self.time_passes(host, ATTEMPT).await?;
        }
        let path = format!("{CHECKOUT}/{}", opened.session);
        let again = self.pays_anew(host, self.world.buyer(), run, &path).await?;
        self.came_to(host, &opened.session, &[&again]).await
    }

    /// A payment of what the wallet does not pay of the fee fails, and the seller pays at another address.
    async fn confirms_again(&self, host: &TestHost, run: &str) -> Result<CameTo> {
        self.fill(run, 0, FEE_SHARE).await?;
        let (session, opened) = self.confirming(host, run).await?;
        self.payment_fails(host, &opened.url).await?;
        let path = format!("{CONFIRM}/{}", opened.session);
        let again = self.pays_anew(host, self.world.seller(), run, &path).await?;
        let came_to = self.came_to(host, &session, &[&again]).await?;
        self.with_wallets(came_to).await
    }

    /// The buyer does not want it any more, and the money comes nevertheless.
    async fn gives_up(&self, host: &TestHost, run: &str) -> Result<CameTo> {
        let opened = self.opened(host, run).await?;
        let path = format!("{CHECKOUT}/{}/cancel", opened.session);
        let cancelled = post(self.world.buyer(), run, &path, &json!({})).await?;
        host.settled().await?;
        self.payer_pays(&opened.url).await?;
        self.came_to(host, &opened.session, &[&cancelled]).await
    }

    /// The seller takes a confirmation back whose fee is not paid yet: the wallet lets go of its share.
    async fn takes_back(&self, host: &TestHost, run: &str) -> Result<CameTo> {
        self.fill(run, 0, FEE_SHARE).await?;
        let (session, opened) = self.confirming(host, run).await?;
        let path = format!("{CONFIRM}/{}/cancel", opened.session);
        let cancelled = post(self.world.seller(), run, &path, &json!({})).await?;
        // Who was not let in asks again, unless it is over already.
        if !cancelled.status.is_success() {
            let again = post(self.world.seller(), &format!("{run}-again"), &path, &json!({})).await?;
            ensure!(matches!(again.status.as_u16(), 200 | 410), "{}", again.json);
        }
        let came_to = self.came_to(host, &session, &[&cancelled]).await?;
        let came_to = self.with_wallets(came_to).await?;
        // So that the next run, too, begins with a transfer.
        self.fill(&format!("after-{run}"), 0, 0).await?;
        Ok(came_to)
    }

    /// A line that the wallet and the gateway have paid is cancelled, and the buyer has both back.
    async fn changes_his_mind(&self, host: &TestHost, run: &str) -> Result<CameTo> {
        self.fill(run, SHARE, 0).await?;
        let session = self.paid(host, run).await?;
        let path = format!(
            "/api/v1/order/buyer/pending-items/{}",
            self.world.item_of(&session).await?
        );
        let client = self.world.buyer().keyed(&format!("{path}-{run}"));
        let cancelled = client.delete_until_answered(&path, None, PATIENCE).await?;
        let came_to = self.came_to(host, &session, &[&cancelled]).await?;
        self.with_wallets(came_to).await
    }

    /// The seller does not want to sell what is paid, and the buyer has the money back.
    async fn is_rejected(&self, host: &TestHost, run: &str) -> Result<CameTo> {
        let session = self.paid(host, run).await?;
        let rejected = self.answer(run, &session, REJECT, "").await?;
        self.came_to(host, &session, &[&rejected]).await
    }

    /// An operator ends the flow of this function that a session is known by.
    async fn flow_ends(&self, host: &TestHost, function: &str, session: &str) -> Result<()> {
        let flow = format!(
            "SELECT invocation_id::text FROM host.workflow WHERE id = '{session}' AND function = 'shop:order/workflows.{function}'"
        );
        let flow = host.texts(&flow).await?.pop().context("the flow of the session")?;
        host.cancel(&flow).await
    }

    /// An operator ends the flow of a checkout that waits to be paid: what it has done is undone without it, and the wallet lets go of its share.
    async fn is_ended(&self, host: &TestHost, run: &str) -> Result<CameTo> {
        self.fill(run, SHARE, 0).await?;
        let opened = self.opened(host, run).await?;
        self.flow_ends(host, "checkout", &opened.session).await?;
        let came_to = self.came_to(host, &opened.session, &[]).await?;
        let came_to = self.with_wallets(came_to).await?;
        self.fill(&format!("after-{run}"), 0, 0).await?;
        Ok(came_to)
    }

    /// An operator ends the flow of a confirmation whose fee waits to be paid: the line waits for its seller again, and the wallet lets go of its
    /// share.
    async fn confirmation_is_ended(&self, host: &TestHost, run: &str) -> Result<CameTo> {
        self.fill(run, 0, FEE_SHARE).await?;
        let (session, opened) = self.confirming(host, run).await?;
        self.flow_ends(host, "confirm", &opened.session).await?;
        let (statuses, mut rows) = self.came_to(host, &session, &[]).await?;
        // No row of the line leads to the fee any more.
        let fee = format!(
            "SELECT 'fee ' || status FROM \"order\".payment_session WHERE id = '{0}'
             UNION ALL SELECT 'fee, by ' || coalesce(payment_option, 'wallet') || ' ' || status || ' ' || amount FROM \"order\".transaction
                 WHERE session_id = '{0}'
             UNION ALL SELECT 'claimed by it' FROM \"order\".item WHERE confirm_session_id = '{0}'
             ORDER BY 1",
            opened.session
        );
        let fee = host.texts(&fee).await?;
        ensure!(fee.contains(&"fee Failed".to_owned()) && fee.len() == 3, "{fee:#?}");
        rows.extend(fee);
        let came_to = self.with_wallets((statuses, rows)).await?;
        self.fill(&format!("after-{run}"), 0, 0).await?;
        Ok(came_to)
    }
}

/// Where a payer continues, if somewhere.
fn address(answer: &Answer) -> Option<&str> {
    answer.json["data"]["payment_url"].as_str()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payment_that_fails_and_another_attempt() -> Result<()> {
    survives(Manner::Waits, Market::attempts_again, 16).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payment_that_is_declined_and_another_attempt() -> Result<()> {
    survives(Manner::Waits, Market::is_declined, 24).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payment_that_takes_too_long_and_another_attempt() -> Result<()> {
    survives(Manner::Waits, Market::is_late, 16).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fee_whose_payment_fails_and_another_attempt() -> Result<()> {
    survives_with_wallets(Manner::Waits, Market::confirms_again, 16).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_checkout_that_is_given_up_and_whose_money_comes_nevertheless() -> Result<()> {
    survives(Manner::Waits, Market::gives_up, 12).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_confirmation_that_is_taken_back() -> Result<()> {
    survives_with_wallets(Manner::Waits, Market::takes_back, 8).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_line_that_is_cancelled_and_paid_back() -> Result<()> {
    survives_with_wallets(Manner::Waits, Market::changes_his_mind, 4).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_paid_line_that_is_rejected() -> Result<()> {
    survives(Manner::Waits, Market::is_rejected, 4).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_checkout_that_an_operator_ends() -> Result<()> {
    survives_with_wallets(Manner::Waits, Market::is_ended, 8).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_confirmation_that_an_operator_ends() -> Result<()> {
    survives_with_wallets(Manner::Waits, Market::confirmation_is_ended, 8).await?;
    Ok(())
}
