"""The statements of listings: built once where they are asked for often, and not kept for ever."""

import gc
from itertools import permutations
from weakref import ref

from imsg_contract.wire import Status
from imsg_history.filters import read_query
from imsg_history.statements import KEPT, Listings
from imsg_web.callers import Caller

USER = Caller("张三", is_admin=False)


def test_statuses_in_every_order_leave_few_statements_behind() -> None:
    listings, built = Listings(is_postgres=False), []
    for statuses in list(permutations(Status, 3))[: KEPT + 50]:
        query = read_query({"status": ",".join(statuses)}, USER, is_v2=True)
        statement, _ = listings.older(query, 50)
        assert listings.older(query, 50)[0] is statement
        built.append(ref(statement))
    del statement

    gc.collect()

    assert sum(one() is not None for one in built) == KEPT
