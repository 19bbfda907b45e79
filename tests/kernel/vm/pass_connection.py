"""A ProxyCommand for ssh with ProxyUseFdpass: connects to a socket in the file system and passes the connection.

It waits up to a minute for a QEMU that has just been started to listen there.
"""

import socket
import sys
import time

for attempt in range(600):
    connection = socket.socket(socket.AF_UNIX)
    try:
        connection.connect(sys.argv[1])
    except (FileNotFoundError, ConnectionRefusedError) as error:
        connection.close()
        if attempt == 599:
            sys.exit(f"{sys.argv[1]}: {error.strerror}")
        time.sleep(0.1)
    else:
        socket.send_fds(socket.socket(fileno=1), [b"\0"], [connection.fileno()])
        break
