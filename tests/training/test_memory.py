"""The memory that a step of SGD goes over, and the networks that are trained together."""

from convexbn.training import memory


def test_more_and_larger_networks_leave_room_for_fewer_in_the_cache():
    assert memory.members_in_cache(64, 256, 100) > memory.members_in_cache(768, 1024, 250) >= 1
    assert memory.members_in_cache(3072, 8192, 5000) == 1
