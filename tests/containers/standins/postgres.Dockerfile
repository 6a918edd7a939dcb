# In the place of the public image of PostgreSQL, for machines without its registry: the same variables, folders, user and
# command, with Debian's PostgreSQL 15.
FROM python:3.11-slim-bookworm
RUN apt-get update -qq \
 && apt-get install -y -qq --no-install-recommends postgresql-15 \
 && install --directory --owner postgres --group postgres --mode 0700 /var/lib/postgresql/data \
 && install --directory --owner postgres --group postgres --mode 1777 /var/run/postgresql
ENV PATH=/usr/lib/postgresql/15/bin:${PATH} PGDATA=/var/lib/postgresql/data
COPY postgres-entrypoint.sh /usr/local/bin/
VOLUME /var/lib/postgresql/data
ENTRYPOINT ["sh", "/usr/local/bin/postgres-entrypoint.sh"]
CMD ["postgres"]
