import os
import time

import pytest

from norc_actors.devpki import DevFiles, make_dev
from tests.support.loopback import SERVER


@pytest.fixture(scope="session")
def pki(tmp_path_factory: pytest.TempPathFactory) -> DevFiles:
    return make_dev(tmp_path_factory.mktemp("pki"), SERVER, random=os.urandom, clock=time.time)
