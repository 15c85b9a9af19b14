"""Whether a create without an answer was applied: decided in simulated accounts, with the truth at hand."""

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lsq_service_async import Absent, Found, InvalidRequestError, NewTicket, Ticket, TicketReceipt, Unclear
from lsq_service_async._wire.lookup import OwnTickets, Search, SentCreate

QUIET = 10.0


class Account:
    """Tickets by number, one client that creates them, and a clock."""

    def __init__(self, first=1, **about):
        """Begin with two own tickets, unless the first number is not 1."""
        self.own, self.tickets, self.now, self.next_number = OwnTickets(), {}, 0.0, first
        self.created, self.reads, self.later, self.sent = {}, [], [], 0
        for _ in range(2 if first == 1 else 0):
            self.answer(self.send(**about))

    def wait(self, seconds):
        self.now += seconds
        for when, create in sorted(self.later, key=lambda entry: entry[0]):
            if when <= self.now:
                self.later.remove((when, create))
                self.apply(create)

    def apply(self, create):
        number, self.next_number = self.next_number, self.next_number + 1
        fields = dict(create.values)
        lead_id = fields.pop("LeadId", None)
        self.tickets[number] = Ticket(number=str(number), ticket_id=f"g{number}", lead_id=lead_id, fields=fields)
        self.created[number] = create
        return number

    def send(self, title="Own", marker=None, *, reference=None, attachments=(), **about):
        self.sent += 1
        ticket = NewTicket(**{"lead_id": "45b5", "title": title} | about)
        reference = reference or f"r{self.sent}"
        create = SentCreate(ticket=ticket, reference=reference, marker=marker, attachments=attachments)
        self.own.started(create, self.now)
        return create

    def answer(self, create):
        receipt = TicketReceipt(number=str(self.apply(create)))
        self.own.ended(create, self.now, receipt, is_unknown=False)
        return create

    def lose(self, create, *, applied=False):
        if applied:
            self.apply(create)
        self.own.ended(create, self.now, None, is_unknown=True)
        return create

    def other(self, title="Other", **about):
        """A ticket that another program creates."""
        self.apply(SentCreate(ticket=NewTicket(**{"lead_id": "9999", "title": title} | about), reference=""))

    def fence(self):
        self.wait(QUIET + 1)
        return self.answer(self.send("Fence"))

    def search(self, *, max_reads=1000):
        return Search(self.own, quiet=QUIET, max_reads=max_reads)

    def decide(self, lost, search=None):
        steps = self.steps(lost, search)
        while not isinstance(step := next(steps), Absent | Found | Unclear):
            pass
        return step

    def steps(self, lost, search=None):
        """Yield the numbers that a look-up reads, and then the verdict."""
        steps = (search or self.search()).decide(lost, self.now)
        try:
            numbers = next(steps)
            while True:
                self.reads += numbers
                tickets = {number: self.tickets.get(number) for number in numbers}
                yield numbers
                numbers = steps.send(tickets)
        except StopIteration as end:
            yield end.value


@pytest.fixture
def account():
    """An account in which the client has created two tickets."""
    return Account()


FATES = ["answered", "lost", "applied", "applied late", "other", "other with the same title"]
EVENTS = st.lists(st.tuples(st.sampled_from(FATES), st.integers(0, 3), st.sampled_from([0.1, 1.0, 5.0])), max_size=40)


def live(account, events, marker, chance):
    """Let the events happen, and return the lost creates in the order of their ends."""
    lost = []
    for fate, title, pause in events:
        account.wait(pause)
        if fate.startswith("other"):
            account.other(f"Title {title}" if fate != "other" else "Other")
            continue
        create = account.send(f"Title {title}", marker)
        if fate == "answered":
            account.answer(create)
        else:
            lost.append(account.lose(create, applied=fate == "applied"))
            if fate == "applied late":
                account.later.append((account.now + chance.uniform(0, QUIET), create))
    account.fence()
    return lost


@given(EVENTS, st.booleans(), st.randoms(use_true_random=False))
def test_every_create_is_found_or_absent_as_it_was(events, has_marker, chance):
    """Equal creates get one ticket each, whatever other programs create meanwhile."""
    marker = "CustomData.Ref" if has_marker else None
    account = Account(marker=marker)
    lost, search = live(account, events, marker, chance), account.search()
    verdicts = [account.decide(create, search) for create in lost]
    found = [int(verdict.receipt.number) if isinstance(verdict, Found) else None for verdict in verdicts]
    tickets = {number: create for number, create in zip(found, lost, strict=True) if number}
    assert len(tickets) == len(found) - found.count(None) == len(set(account.created.values()) & set(lost))
    for number, create in tickets.items():
        assert account.created[number].values == create.values
    assert not any(isinstance(verdict, Unclear) for verdict in verdicts)


@given(st.lists(st.booleans(), min_size=1, max_size=12))
def test_a_ticket_that_cannot_be_read_leaves_no_create_absent(readable):
    """A create is absent only if every number in its range could be read."""
    account = Account()
    lost = account.lose(account.send("Lost"))
    for can_be_read in readable:
        account.other()
        if not can_be_read:
            del account.tickets[account.next_number - 1]
    account.fence()
    assert isinstance(account.decide(lost), Absent if all(readable) else Unclear)


def test_reads_are_shared_and_missing_tickets_are_read_again(account):
    """A second look-up reads only the numbers that the first one could not read."""
    lost = [account.lose(account.send(f"Lost {number}")) for number in range(2)]
    account.other()
    account.other()
    missing = account.tickets.pop(account.next_number - 1)
    account.fence()
    search = account.search()
    for create in lost:
        assert isinstance(account.decide(create, search), Unclear)
    account.tickets[int(missing.number)] = missing
    assert isinstance(account.decide(lost[0], search), Absent)
    assert account.reads == [1, 2, 5, 3, 4, 4, 4]


def test_a_look_up_can_be_repeated(account):
    """The ticket that was found is found again by the same create, and by no other one."""
    first, second = (account.send("Same") for _ in range(2))
    account.lose(first, applied=True)
    account.lose(second)
    account.fence()
    third = account.lose(account.send("Same"))
    assert account.decide(first) == account.decide(first) == Found(TicketReceipt(number="3", ticket_id="g3"))
    assert account.decide(second) == account.decide(second) == Absent()
    assert isinstance(account.decide(third), Unclear)


@pytest.mark.parametrize(
    ("sampled", "stored", "first", "second"),
    [
        (False, None, Absent, Found),
        (True, None, Absent, Found),
        (False, "cleaned", Unclear, Unclear),
        (True, "cleaned", Unclear, Unclear),
    ],
)
@pytest.mark.parametrize("texts", [("one", "two"), (None, "two"), ("one", None)])
def test_creates_that_share_a_title_do_not_get_the_ticket_of_another(sampled, stored, first, second, texts):
    """Fields of which it is not known whether the account changes them count, but they do not prove an absence."""
    account = Account(description="sample" if sampled else None)
    creates = [account.send("Same", description=text) for text in texts]
    account.lose(creates[0])
    account.lose(creates[1], applied=True)
    account.fence()
    if stored:
        edit(Description=stored)(account)
    verdicts = [account.decide(create) for create in creates]
    assert [type(verdict) for verdict in verdicts] == [first, second]


def test_an_answer_that_arrives_late_needs_no_reads(account):
    """A caller may have stopped waiting for a create that was answered after that."""
    lost = account.send("Lost")
    assert "in flight" in account.decide(lost).reason
    account.answer(lost)
    assert account.decide(lost) == Found(lost.receipt)
    assert account.reads == []


def lost_then(change):
    """Lose a create that was not applied, change the account, and return the verdict after a fence."""

    def verdict(account):
        lost = account.lose(account.send("Lost"))
        account.other()
        change(account)
        account.fence()
        return account.decide(lost)

    return verdict


def edit(**fields):
    """Change fields of all tickets, as the automation of an account may do."""

    def change(account):
        for number, ticket in account.tickets.items():
            account.tickets[number] = attrs.evolve(ticket, fields=ticket.fields | fields)

    return change


def too_early(account):
    lost = account.lose(account.send("Lost"))
    account.answer(account.send())
    account.now += QUIET - 1
    return account.decide(lost)


def without_fence(account):
    lost = account.lose(account.send("Lost"))
    account.answer(account.send())
    account.now += QUIET + 1
    return account.decide(lost)


def from_an_old_journal(account):
    return account.decide(SentCreate(ticket=NewTicket(lead_id="45b5", title="Lost"), reference="", doubts=1))


def with_a_rival(account):
    """A create in flight with the same title may be the ticket in the range."""
    lost = account.lose(account.send("Lost"))
    rival = account.send("Lost")
    account.fence()
    account.apply(rival)
    return account.decide(lost)


def without_title(account):
    lost = account.lose(account.send(None, description="no title"))
    account.fence()
    return account.decide(lost)


def after_many_tickets(account):
    lost = account.lose(account.send("Lost"))
    for _ in range(10_001):
        account.answer(account.send())
    account.fence()
    return account.decide(lost)


def without_order(account):
    lost = account.lose(account.send("Lost"))
    account.next_number = 1
    account.answer(account.send())
    account.next_number = 9
    account.fence()
    return account.decide(lost)


def beyond_the_budget(account):
    lost = account.lose(account.send("Lost"))
    for _ in range(5):
        account.other()
    account.fence()
    return account.decide(lost, account.search(max_reads=7))


def with_numbers_that_are_none(account):
    """A service that answers with a GUID as the number has no numbers to look at."""
    account = Account()
    lost = account.lose(account.send("Lost"))
    account.wait(QUIET + 1)
    account.own.ended(account.send(), account.now, TicketReceipt(number="5af882cc"), is_unknown=False)
    return account.decide(lost)


def in_a_new_account(account):
    """The first create is lost, so no own ticket is older."""
    account = Account(50_000)
    lost = account.lose(account.send("Lost"))
    account.fence()
    account.fence()
    return account.decide(lost, account.search(max_reads=200))


@pytest.mark.parametrize(
    ("case", "reason"),
    [
        (too_early, "may still be applied; look it up no earlier than 10 s after it ended"),
        (without_fence, "has been answered yet"),
        (from_an_old_journal, "its number range was not recorded"),
        (with_a_rival, "same title is still in flight"),
        (without_title, "cannot be recognized"),
        (lost_then(edit(Title="[VIP]")), "cannot be recognized"),
        (lost_then(lambda account: account.tickets.pop(1)), "only 1 could be read by number"),
        (lost_then(lambda account: account.other("LOST", lead_id="45B5")), "ticket 4 resembles it"),
        (after_many_tickets, "more than 10,000 tickets"),
        (without_order, "does not assign ascending ticket numbers: ticket 1 was created after ticket 2"),
        (beyond_the_budget, "its ticket may have any of 5 numbers, but only 4 of 7 reads are left"),
        (with_numbers_that_are_none, "has been answered yet"),
        (in_a_new_account, "its ticket may have any of 49,999 numbers"),
    ],
)
def test_a_verdict_that_is_not_certain_is_unclear(account, case, reason):
    """The verdict has the reason, and is not guessed."""
    verdict = case(account)
    assert isinstance(verdict, Unclear)
    assert reason in verdict.reason


def test_fields_that_the_account_changes_are_not_compared(account):
    """Automation sets the status of every ticket; titles reach the service unchanged."""
    account = Account(status="Open")
    lost = account.lose(account.send("Lost", status="Open"), applied=True)
    account.fence()
    for number, ticket in account.tickets.items():
        fields = ticket.fields | {"Status": "Assigned"}
        account.tickets[number] = Ticket(number=str(number), lead_id=ticket.lead_id, fields=fields)
    assert account.decide(lost) == Found(TicketReceipt(number="3"))


def test_a_repeat_after_a_refusal_has_a_new_range(account):
    """An attempt that was certainly not applied does not count, before and after one that may have been applied."""
    create = account.send("Lost", lead_id=None, lead_email="wim@example.com")
    account.own.ended(create, account.now, None, is_unknown=False)
    account.answer(account.send())
    account.own.started(create, account.now)
    account.lose(create, applied=True)
    account.fence()
    account.own.started(create, account.now)
    account.own.ended(create, account.now, None, is_unknown=False)
    assert (create.above, account.decide(create)) == (3, Found(TicketReceipt(number="4", ticket_id="g4")))
    assert account.search().fence(SentCreate(ticket=create.ticket, reference="")) is None


def test_a_client_keeps_a_bounded_number_of_lost_creates(account):
    """The oldest ones are forgotten; they can still be looked up with their errors."""
    lost = [account.lose(account.send("Lost")) for _ in range(10_001)]
    assert list(account.own.lost) == lost[1:]


def test_a_ticket_of_two_unknown_attempts_is_a_possible_duplicate(account):
    """Both attempts may have created one. A create that was answered after that is not lost any more."""
    create = account.lose(account.send("Lost"))
    account.own.started(create, account.now)
    account.lose(create, applied=True)
    account.fence()
    assert account.decide(create).receipt.possible_duplicate
    other = account.lose(account.send("Other"))
    account.own.started(other, account.now)
    account.answer(other)
    assert other not in account.own.lost


def test_the_marker_alone_identifies_a_ticket(account):
    """With a marker, every other field may have been changed, and equal texts of other programs do not match."""
    account = Account(marker="CustomData.Ref")
    lost = account.lose(account.send("Lost", marker="CustomData.Ref"))
    account.other("Lost")
    account.fence()
    assert account.decide(lost) == Absent()
    assert account.decide(account.own.samples[0]) == Found(account.own.samples[0].receipt)


@pytest.mark.parametrize(
    ("sent", "stored", "verdict"),
    [
        ("Router & modem", "Router &amp; modem", Unclear),
        ("Router  down ", "Router down", Unclear),
        ("x" * 300, "x" * 200, Unclear),
        ("Роутер  1", "роутер 1", Unclear),
        ("Störung", "St?rung", Unclear),
        ("路由器", "???", Unclear),
        ("Router down", "[VIP] Router down", Unclear),
        ("<b>Router</b> down", "Router down", Unclear),
        ("Роутер 1", "Модем 1", Absent),
        ("Device 11", "Device 1", Absent),
        ("Router down", "Router up", Absent),
        ("!", "?", Absent),
    ],
)
def test_a_text_that_the_service_may_have_changed_is_not_absent(account, sent, stored, verdict):
    """A title that was cut, escaped or cleaned may be that of the lost create, although own titles were not changed."""
    lost = account.lose(account.send(sent))
    account.other(stored, lead_id="45b5")
    account.fence()
    assert isinstance(account.decide(lost), verdict)


@given(st.lists(st.tuples(*map(st.sampled_from, ([True, False], [None, "a", "b"], [None, "x"]))), max_size=6))
def test_a_create_is_not_absent_because_the_account_has_changed_its_ticket(rows):
    """Samples do not show all: automation may change some tickets only, or some values only."""
    account = Account(description="sample")
    lost = [account.lose(account.send("Same", description=text), applied=applied) for applied, text, _ in rows]
    applied = [create for create, row in zip(lost, rows, strict=True) if row[0]]
    for number, create in account.created.items():
        if create in applied and (text := rows[lost.index(create)][2]) is not None:
            account.tickets[number] = attrs.evolve(
                account.tickets[number], fields={"Title": "Same", "Description": text}
            )
    account.fence()
    search = account.search()
    verdicts = [account.decide(create, search) for create in lost]
    assert sum(isinstance(verdict, Absent) for verdict in verdicts) <= len(lost) - len(applied)


def test_automation_that_has_started_since_is_seen(account):
    """The latest own ticket shows that titles, or markers, are not stored any more as they were."""
    account = Account(marker="CustomData.Ref")
    lost = account.lose(account.send("Lost", "CustomData.Ref"), applied=True)
    account.wait(QUIET + 1)
    account.answer(account.send("Fence", "CustomData.Ref"))
    before = {number: account.tickets[number] for number in (1, 2)}
    edit(**{"CustomData.Ref": None})(account)
    account.tickets |= before
    assert account.decide(lost) == Found(TicketReceipt(number="3", ticket_id="g3"))


@pytest.mark.parametrize(("stored", "verdict"), [("erp-100", Unclear), ("other", Absent), (None, Absent)])
def test_a_marker_that_was_cut_is_not_absent(stored, verdict):
    """Shorter markers of the samples were not cut."""
    account = Account(marker="CustomData.Ref")
    lost = account.lose(account.send("Lost", "CustomData.Ref", reference="erp-100042"), applied=True)
    account.tickets[3] = attrs.evolve(account.tickets[3], fields={"Title": "Lost", "CustomData.Ref": stored})
    account.fence()
    assert isinstance(account.decide(lost), verdict)


@pytest.mark.parametrize(
    ("first", "second", "verdicts"),
    [
        ({"attachments": ("a.txt",)}, {"attachments": ("b.txt",)}, [Unclear, Unclear]),
        ({"reference": "r", "status": "Open"}, {"reference": "r", "status": "New"}, [Absent, Found]),
        ({"lead_id": "45B5"}, {"lead_id": "45b5"}, [Found, Absent]),
    ],
)
def test_creates_that_differ_elsewhere_do_not_get_the_ticket_of_another(first, second, verdicts):
    """The files of a ticket cannot be compared, and a reference may have been given twice."""
    account = Account(marker="CustomData.Ref" if "reference" in first else None)
    creates = [account.send("Same", account.own.samples[0].marker, **about) for about in (first, second)]
    account.lose(creates[0])
    account.lose(creates[1], applied=True)
    account.fence()
    assert [type(account.decide(create)) for create in creates] == verdicts


@pytest.mark.parametrize("applied", [(True, False, False), (True, True, True)])
def test_look_ups_of_equal_creates_at_the_same_time(account, applied):
    """A look-up may find the ticket of another create while the look-up of that one is reading."""
    lost = [account.lose(account.send("Same"), applied=is_applied) for is_applied in applied]
    account.fence()
    steps = [account.steps(create) for create in lost]
    for step in (0, 0, 1, 1):
        next(steps[step])
    verdicts = [next(steps[1]), next(steps[0]), account.decide(lost[2])]
    found = [int(verdict.receipt.number) for verdict in verdicts if isinstance(verdict, Found)]
    assert len(set(found)) == len(found) == sum(applied)


def test_an_equal_create_does_not_pay_for_a_ticket_that_cannot_be_read(account):
    """The first create may have the ticket that cannot be read, so it does not take that of the second one."""
    first = account.lose(account.send("Same"), applied=True)
    del account.tickets[3]
    account.answer(account.send())
    second = account.lose(account.send("Same"), applied=True)
    account.fence()
    assert [type(account.decide(create)) for create in (first, second, first)] == [Unclear, Found, Unclear]


@pytest.mark.parametrize("name", ["quiet", "max_reads"])
@pytest.mark.parametrize("value", [-1, "60", None, True, 10**400])
def test_a_wrong_setting_is_an_error(name, value):
    """The message names the setting and the value."""
    with pytest.raises(InvalidRequestError, match=name):
        Search(OwnTickets(), **{"quiet": 1.0, "max_reads": 1, name: value})
