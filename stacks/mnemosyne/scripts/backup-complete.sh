#!/bin/bash
# The application's own backup, once a day from its container: the database, the graph and the uploads.
set -e
stamp=$(date +%Y%m%d_%H%M%S)
mkdir -p /backups/{postgres,lightrag,uploads}
PGPASSWORD=$POSTGRES_PASSWORD pg_dump -h postgres -U "$POSTGRES_USER" -d "$POSTGRES_DB" --format=custom \
    --file="/backups/postgres/postgres_$stamp.dump"
tar -czf "/backups/lightrag/lightrag_$stamp.tar.gz" -C /app/data lightrag
tar -czf "/backups/uploads/uploads_$stamp.tar.gz" -C /app uploads
find /backups -type f -mtime "+${BACKUP_RETENTION_DAYS:-7}" -delete
