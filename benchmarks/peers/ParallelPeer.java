// SPDX-License-Identifier: Apache-2.0

import static io.confluent.parallelconsumer.ParallelConsumerOptions.ProcessingOrder.KEY;

import io.confluent.parallelconsumer.ParallelConsumerOptions;
import io.confluent.parallelconsumer.ParallelStreamProcessor;
import java.lang.management.ManagementFactory;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicLong;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;

/**
 * Confluent Parallel Consumer with handlers that sleep, ordered by key.
 *
 * <p>Arguments: brokers, topic, group, count, concurrency, least and most seconds of a pause.
 * Prints the figures as one line of JSON; the clock runs from the first handler's call to the end
 * of the last.
 */
public final class ParallelPeer {
    private static final long WAIT_S = 120;

    private ParallelPeer() {}

    public static void main(String[] arguments) throws Exception {
        long count = Long.parseLong(arguments[3]);
        double least = Double.parseDouble(arguments[5]);
        double most = Double.parseDouble(arguments[6]);
        KafkaConsumer<byte[], byte[]> consumer = new KafkaConsumer<>(
                Map.of(
                        "bootstrap.servers", arguments[0],
                        "group.id", arguments[2],
                        "auto.offset.reset", "earliest",
                        "enable.auto.commit", "false"),
                new ByteArrayDeserializer(),
                new ByteArrayDeserializer());
        ParallelConsumerOptions<byte[], byte[]> options = ParallelConsumerOptions.<byte[], byte[]>builder()
                .ordering(KEY)
                .maxConcurrency(Integer.parseInt(arguments[4]))
                .consumer(consumer)
                .build();
        ParallelStreamProcessor<byte[], byte[]> processor =
                ParallelStreamProcessor.createEosStreamProcessor(options);
        processor.subscribe(List.of(arguments[1]));
        AtomicLong began = new AtomicLong();
        AtomicLong cpuAtStart = new AtomicLong();
        CountDownLatch left = new CountDownLatch((int) count);
        processor.poll(context -> {
            if (began.compareAndSet(0, System.nanoTime())) {
                cpuAtStart.set(cpuNanos());
            }
            pause(pauseSeconds(context.offset(), least, most));
            left.countDown();
        });
        if (!left.await(WAIT_S, TimeUnit.SECONDS)) {
            System.err.println(left.getCount() + " of " + count + " records were not handled");
            System.exit(1);
        }
        double seconds = (System.nanoTime() - began.get()) / 1e9;
        double cpuMicros = (cpuNanos() - cpuAtStart.get()) / 1e3 / count;
        System.out.printf(
                "{\"seconds\": %f, \"count\": %d, \"rate\": %f, \"cpu_us\": %f, \"rss_mb\": %f}%n",
                seconds, count, count / seconds, cpuMicros, peakMegabytes());
        System.out.flush();
        processor.closeDontDrainFirst();
        System.exit(0);
    }

    /** The same rule as {@code kafka_notify.bench.workload.pause_s}; offsets are the numbers. */
    private static double pauseSeconds(long number, double least, double most) {
        long spread = (number * 2_654_435_761L) & 0xFFFF_FFFFL;
        return least + (most - least) * spread / 4_294_967_296.0;
    }

    private static void pause(double seconds) {
        try {
            long nanos = (long) (seconds * 1e9);
            Thread.sleep(nanos / 1_000_000, (int) (nanos % 1_000_000));
        } catch (InterruptedException interrupted) {
            Thread.currentThread().interrupt();
        }
    }

    private static long cpuNanos() {
        return ((com.sun.management.OperatingSystemMXBean) ManagementFactory.getOperatingSystemMXBean())
                .getProcessCpuTime();
    }

    private static double peakMegabytes() throws java.io.IOException {
        Path status = Path.of("/proc/self/status");
        if (Files.exists(status)) {
            for (String line : Files.readAllLines(status)) {
                if (line.startsWith("VmHWM:")) {
                    return Long.parseLong(line.replaceAll("\\D", "")) / 1024.0;
                }
            }
        }
        return Double.NaN;
    }
}
