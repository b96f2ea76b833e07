import com.sun.management.OperatingSystemMXBean;
import io.debezium.engine.ChangeEvent;
import io.debezium.engine.DebeziumEngine;
import io.debezium.engine.format.Json;
import java.io.IOException;
import java.lang.management.ManagementFactory;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Locale;
import java.util.Properties;

/**
 * Debezium's embedded engine: key and value of each event as JSON without schemas.
 *
 * <p>Its defaults, but for a queue ten times as large and polls without a pause between them, which
 * it gains by. Each event's text is looked at no further than its length.
 */
public final class Reader {
    private static final long EVENTS = Long.parseLong(System.getenv("BENCH_EVENTS"));
    private static final long[] BEGAN = now();
    private static long[] first;
    private static long count;
    private static long characters;

    public static void main(String[] arguments) throws IOException {
        Path offsets = Files.createTempFile("bench-offsets", ".dat");
        Files.delete(offsets);
        DebeziumEngine<ChangeEvent<String, String>> engine =
                DebeziumEngine.create(Json.class)
                        .using(properties(offsets))
                        .notifying(Reader::take)
                        .using(Reader::ended)
                        .build();
        engine.run();
    }

    private static Properties properties(Path offsets) {
        Properties properties = new Properties();
        String[][] settings = {
            {"name", "bench"},
            {"connector.class", "io.debezium.connector.postgresql.PostgresConnector"},
            {"offset.storage", "org.apache.kafka.connect.storage.FileOffsetBackingStore"},
            {"offset.storage.file.filename", offsets.toString()},
            {"database.hostname", System.getenv("PGHOST")},
            {"database.port", System.getenv("PGPORT")},
            {"database.user", System.getenv("PGUSER")},
            {"database.password", System.getenv("PGPASSWORD")},
            {"database.dbname", System.getenv("PGDATABASE")},
            {"database.sslmode", "disable"},
            {"topic.prefix", "bench"},
            {"plugin.name", "pgoutput"},
            {"slot.name", System.getenv("BENCH_SLOT")},
            {"publication.name", "bench"},
            {"publication.autocreate.mode", "disabled"},
            {"snapshot.mode", "no_data"},
            {"key.converter.schemas.enable", "false"},
            {"value.converter.schemas.enable", "false"},
            {"max.batch.size", "20480"},
            {"max.queue.size", "81920"},
            {"poll.interval.ms", "5"},
        };
        for (String[] setting : settings) {
            properties.setProperty(setting[0], setting[1]);
        }
        return properties;
    }

    private static void take(
            List<ChangeEvent<String, String>> events,
            DebeziumEngine.RecordCommitter<ChangeEvent<String, String>> committer)
            throws InterruptedException {
        for (ChangeEvent<String, String> event : events) {
            String value = event.value();
            // Without a value it is the tombstone behind a deletion, which is no change.
            if (value != null) {
                characters += event.key().length() + value.length();
                count++;
                if (first == null) {
                    first = now();
                }
                if (count == EVENTS) {
                    report();
                }
            }
            committer.markProcessed(event);
        }
        committer.markBatchFinished();
    }

    /** The engine ended by itself, before all events were there. */
    private static void ended(boolean success, String message, Throwable error) {
        System.err.println(message);
        if (error != null) {
            error.printStackTrace();
        }
        Runtime.getRuntime().halt(1);
    }

    private static void report() {
        long[] last = now();
        System.err.println(characters + " characters");
        System.out.printf(
                Locale.ROOT,
                "{\"events\": %d, \"events_first\": 1, \"total\": %s, \"first\": %s,"
                        + " \"peak_rss_mib\": %.1f}%n",
                count,
                since(last),
                since(first),
                peakRssMib());
        System.out.flush();
        Runtime.getRuntime().halt(0);
    }

    /** By the clock; and of CPU, by all threads: in all, and in the kernel. Nanoseconds. */
    private static long[] now() {
        OperatingSystemMXBean system =
                (OperatingSystemMXBean) ManagementFactory.getOperatingSystemMXBean();
        return new long[] {System.nanoTime(), system.getProcessCpuTime(), kernelTime()};
    }

    private static long kernelTime() {
        try {
            String stat = Files.readString(Path.of("/proc/self/stat"));
            String[] fields = stat.substring(stat.lastIndexOf(')') + 2).split(" ");
            // In ticks, of which Linux tells programs a hundred a second.
            return Long.parseLong(fields[12]) * 10_000_000;
        } catch (IOException error) {
            throw new IllegalStateException(error);
        }
    }

    private static String since(long[] later) {
        double[] seconds = new double[3];
        for (int i = 0; i < 3; i++) {
            seconds[i] = (later[i] - BEGAN[i]) / 1e9;
        }
        return String.format(
                Locale.ROOT,
                "{\"wall_s\": %.6f, \"user_s\": %.6f, \"system_s\": %.6f}",
                seconds[0],
                seconds[1] - seconds[2],
                seconds[2]);
    }

    private static double peakRssMib() {
        try {
            for (String line : Files.readAllLines(Path.of("/proc/self/status"))) {
                if (line.startsWith("VmHWM:")) {
                    return Long.parseLong(line.replaceAll("\\D", "")) / 1024.0;
                }
            }
        } catch (IOException error) {
            throw new IllegalStateException(error);
        }
        throw new IllegalStateException("/proc/self/status has no VmHWM");
    }

    private Reader() {}
}
